"""`python -m stream_maas` is the `stream-maas` command."""

from stream_maas.cli import main

if __name__ == "__main__":
    main()
