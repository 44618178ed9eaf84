from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Left = TypeVar("Left")
Found = TypeVar("Found")

class Looks(Generic[Found, Left]):
    def __init__(
        self,
        run: tuple[str, int, int],
        marks: str,
        joints: str,
        words: tuple[str, ...],
        reach_chars: tuple[int, int],
        all_lie_in: Callable[[Sequence[Found], Sequence[Found]], bool],
        results: tuple[Left, Left, Left],
    ) -> None: ...
    def left(self, text: str, candidates: Sequence[Found], spans: Sequence[Found], rest: str) -> Left: ...
