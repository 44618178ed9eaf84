"""What else a team could run: same requests, same model, same broker; docs/benchmarks.md has the figures."""
