"""stream_maas: a model server whose only interface is Kafka.

Importing this package imports no Kafka library; `stream_maas.Client` is loaded on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_maas.client import Client, Prediction, SyncClient

__version__ = "0.1.0"
__all__ = ["Client", "Prediction", "SyncClient", "__version__"]


def __getattr__(name: str) -> Any:
    if name in {"Client", "Prediction", "SyncClient"}:
        from stream_maas import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
