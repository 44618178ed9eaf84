from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")

class Located(Generic[Found]):
    def __init__(
        self,
        locate: Callable[[str], Iterable[tuple[int, int]]],
        entity_type: str,
        name: str,
        score: int,
        span: Callable[[tuple[int, int, str, str, int]], Found],
    ) -> None: ...
    def find(self, text: str, hint: str | None, known: object) -> list[Found]: ...

class Shaped(Generic[Found]):
    def __init__(
        self,
        beginnings: str | None,
        search: Callable[..., Any],
        match: Callable[..., Any],
        rest: Callable[..., Any] | None,
        key: object,
        cues: Any,
        trim: Callable[[str], tuple[int, int] | None],
        row: tuple[str, str, int],
        span: Callable[[tuple[int, int, str, str, int]], Found],
    ) -> None: ...
    def find(self, text: str, hint: str | None, known: object) -> list[Found]: ...
