"""Model bundles, text -> tensor, batching, ONNX Runtime: how a checked request becomes an output.

Names are loaded on first use: `stream_maas.settings` imports this package for its config alone, and a client
that only produces records should not pay for ONNX Runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_maas.inference.adapter import Output, Row
    from stream_maas.inference.bundle import Bundle, describe, load_bundle
    from stream_maas.inference.catalog import Catalog, check
    from stream_maas.inference.config import RuntimeConfig
    from stream_maas.inference.model import Model
    from stream_maas.inference.session import Cancellation
    from stream_maas.inference.train import train_model

__all__ = [
    "Bundle",
    "Cancellation",
    "Catalog",
    "Model",
    "Output",
    "Row",
    "RuntimeConfig",
    "check",
    "describe",
    "load_bundle",
    "train_model",
]
_MODULES = {
    "Bundle": "bundle",
    "Cancellation": "session",
    "Catalog": "catalog",
    "Model": "model",
    "Output": "adapter",
    "Row": "adapter",
    "RuntimeConfig": "config",
    "check": "catalog",
    "describe": "bundle",
    "load_bundle": "bundle",
    "train_model": "train",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
