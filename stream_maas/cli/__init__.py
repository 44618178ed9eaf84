"""The command line: what scripts may rely on is its options, its exit codes and its JSON lines, nothing else.

Exit codes: 0 done, 1 a problem was found or the work failed, 2 the command was used wrongly. Standard output carries
results only; progress, notes and the one line of an error go to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of `stream-maas` and `python -m stream_maas`: run one command and exit with its code."""
    try:
        from stream_maas.cli.app import run

        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # while the commands were loaded; `run` answers for the rest
        code = 130
    sys.exit(code)


__all__ = ["main"]
