from collections.abc import Callable

from stream_maas.records import InputRecord

def read(
    data: bytes,
    start: int,
    stop: int,
    count: int,
    make: Callable[..., InputRecord],
    topic: str,
    partition: int,
    base_offset: int,
    first_ms: int,
    has_deltas: bool,
    least_offset: int,
) -> list[InputRecord]: ...
