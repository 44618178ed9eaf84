"""Where the keys and files of sealer and witness are, and how often they speak."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """Sealer, witness, and whom the `audit` commands believe."""

    origin: str = field(
        default="",
        metadata={
            "help": "name of the logs in checkpoints; partition P is ORIGIN/P. Empty: stream-maas.org/PREFIX.audit. "
            "A log that is made anew needs a new one"
        },
    )
    folder: str = field(
        default="",
        metadata={"help": "tree, index and state of the sealer; empty: stream_maas/ledger in the XDG state folder"},
    )
    key_file: str = field(
        default="",
        metadata={"help": "private key of the sealer; empty: sealer.key in ledger.folder, made when it is missing"},
    )
    keys: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "verifier keys (or files of them) of sealers and witnesses that are believed; empty: the "
            "sealer.vkey in ledger.folder, for one machine"
        },
    )
    writer_keys: tuple[str, ...] = field(
        default=(),
        metadata={"help": "verifier keys (or files of them) of workers; empty: each session's own key is believed"},
    )
    anchor: str = field(
        default="",
        metadata={
            "help": "file outside the broker that checkpoints and heartbeats are appended to, or a folder (DIR/) for "
            "objects; empty: anchor.jsonl in ledger.folder"
        },
    )
    seal_interval_ms: int = field(default=1_000, metadata={"help": "a partition is sealed at most this often"})
    anchor_interval_ms: int = field(default=60_000, metadata={"help": "the anchor is written to at most this often"})
    witness_folder: str = field(
        default="", metadata={"help": "memory of the witness; empty: stream_maas/witness in the XDG state folder"}
    )
    witness_key_file: str = field(
        default="",
        metadata={"help": "private key of the witness; empty: witness.key in its folder, made when it is missing"},
    )
    witness_interval_ms: int = field(default=1_000, metadata={"help": "a log is cosigned at most this often"})

    def origin_of(self, prefix: str, partition: int) -> str:
        """The origin line of one partition's log."""
        return f"{self.origin or f'stream-maas.org/{prefix}.audit'}/{partition}"
