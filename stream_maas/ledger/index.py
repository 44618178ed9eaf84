"""How an event is found by its id or by the id of its request without reading the log.

65,536 events make a segment. Each id of an event is eight bytes: the first six of a BLAKE2b hash, and the event's
place in its segment. A full segment is sorted once and never changed. A hit is a candidate: who asks reads the event.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

SEGMENT_EVENTS = 1 << 16
ENTRY_BYTES = 8
_HASH_BYTES = 6
_ENTRIES = np.dtype(">u8")


def entry(name: str, index: int) -> bytes:
    """The entry of one id of the event at leaf `index`."""
    return blake2b(name.encode(), digest_size=_HASH_BYTES).digest() + (index % SEGMENT_EVENTS).to_bytes(2, "big")


def sort_segment(entries: bytes) -> bytes:
    """A full segment as it is kept for good."""
    return np.sort(np.frombuffer(entries, _ENTRIES)).tobytes()


def find(name: str, segments: Iterable[tuple[int, bytes, bool]]) -> list[int]:
    """Leaf indices of the events that may have the id `name`, in order.

    `segments`: (number, entries, whether they are sorted). One search step per segment, not per event.
    """
    wanted = int.from_bytes(blake2b(name.encode(), digest_size=_HASH_BYTES).digest(), "big") << 16
    found = []
    for number, data, is_sorted in segments:
        entries = np.frombuffer(data, _ENTRIES)
        if is_sorted:
            low, high = np.searchsorted(entries, np.array([wanted, wanted | 0xFFFF], _ENTRIES), side="left")
            places = entries[low : high + 1]
            places = places[(places >> np.uint64(16)) == wanted >> 16]
        else:
            places = entries[(entries >> np.uint64(16)) == wanted >> 16]
        found += [number * SEGMENT_EVENTS + int(place & np.uint64(0xFFFF)) for place in places]
    return sorted(set(found))
