"""The worker: the only asynchronous control flow on the server side."""

from stream_maas.worker.app import run_worker

__all__ = ["run_worker"]
