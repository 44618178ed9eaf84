from collections.abc import Callable, Iterable, Sequence
from typing import Any

class Scanner:
    def __init__(self, automata: Sequence[Any], fewest_digits: Sequence[int]) -> None: ...
    def accepted(self, text: str) -> int: ...

class Gate:
    def __init__(
        self,
        scanner: Scanner,
        loose: Iterable[tuple[int, Iterable[int]]],
        engine: Iterable[tuple[int, Callable[[bytes], list[int] | None], int]],
    ) -> None: ...
    def asked(self, text: str) -> list[int]: ...
