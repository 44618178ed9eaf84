"""Limits and choices of redaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class RedactionConfig:
    """Reaching any limit rejects the record (`redaction_error` or `too_large`); nothing is skipped silently."""

    gate: Literal["auto", "re2", "hyperscan", "re"] = field(
        default="auto",
        metadata={
            "help": "multi-pattern engine; auto is re2, or with a warning the slower re where google-re2 is missing; "
            "hyperscan is an extra"
        },
    )
    max_depth: int = field(default=16, metadata={"help": "nesting of JSON inside a tensor's text"})
    max_nodes: int = field(
        default=100_000, metadata={"help": "values walked in one record (a list of small numbers: one)"}
    )
    max_text_chars: int = field(default=1_000_000, metadata={"help": "length of one string"})
    policy: str = field(default="", metadata={"help": "policy file (YAML); empty replaces every find by its type"})
    ner_model: str = field(
        default="",
        metadata={"help": "spaCy package or folder that policies may ask for names (extra `ner`), in its own process"},
    )
    ner_timeout_ms: int = field(default=1000, metadata={"help": "longest wait for the model on one text"})
    pseudonym_key: str = field(
        default="",
        repr=False,
        metadata={"help": "secret that keys of pseudonyms are derived from, 32 or more characters", "secret": True},
    )
    pseudonym_epoch: str = field(
        default="k1", metadata={"help": "name of the present key, in every pseudonym; change both to rotate"}
    )
