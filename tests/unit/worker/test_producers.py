"""How long a publisher or follower waits before it tries again."""

from __future__ import annotations

from stream_maas.worker.producers import MAX_BACKOFF_S, backoff_s


def test_waits_grow_to_their_bound_and_stay_there() -> None:
    waits = [backoff_s(attempt) for attempt in range(5_000)]  # seven hours of an absent broker

    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits == sorted(waits)
    assert waits[-1] == MAX_BACKOFF_S
