from collections.abc import Callable, Iterable, Sequence
from typing import Any

class Search:
    def __init__(
        self,
        gate: Callable[[str], list[int]],
        finders: Sequence[Callable[..., Iterable[Any]]],
        always: Sequence[Callable[..., Iterable[Any]]],
        kinds: Sequence[int],
        rows: tuple[frozenset[str], str, str],
        left: tuple[Callable[..., object], object, object],
        seldom: tuple[Callable[..., list[Any]], ...],
        placeholder: Callable[[str], str],
        limits: tuple[int, int],
    ) -> None: ...
    def search(self, folded: Any, hint: str | None, known: dict[str, str]) -> tuple[list[Any], str]: ...
