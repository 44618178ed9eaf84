"""Where models come from and how ONNX Runtime runs them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """One ONNX Runtime session per model, shared by all callers."""

    models: tuple[str, ...] = field(
        default=(),
        metadata={"help": "bundles or folders of bundles, comma separated; empty serves the bundled sentiment-lite"},
    )
    default_model: str = field(
        default="", metadata={"help": "answers requests that name no model; empty means the only loaded one"}
    )
    intra_op_threads: int = field(
        default=1, metadata={"help": "threads inside one call; more than 1 gains little and spins"}
    )
    executor_threads: int = field(
        default=2, metadata={"help": "concurrent calls per lane of each model that is not tiny"}
    )
    queue_calls: int = field(
        default=64,
        metadata={"help": "calls of one model and lane that may wait for threads; further records wait in Kafka"},
    )
    reload_ms: int = field(
        default=2000,
        metadata={"help": "how often bundle folders are looked at for changes; 0 means only on SIGHUP"},
    )
    licences: tuple[str, ...] = field(
        default=("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MPL-2.0"),
        metadata={"help": "SPDX ids a bundle may carry, comma separated; others are refused"},
    )
