"""Reading logs: how a topic is read to its end, and how the audit log is verified, searched, proven and exported."""

from stream_maas.replay.reading import read, read_chunks

__all__ = ["read", "read_chunks"]
