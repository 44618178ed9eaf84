"""What proves that a log was not changed: RFC 6962 trees, C2SP checkpoints, writer chains, proof bundles. Pure.

Nothing is imported here: settings need `ledger.config` at every start of a command, and cryptography takes its time.
"""
