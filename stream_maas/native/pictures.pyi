from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

Found = TypeVar("Found")
_Rule = tuple[bool, Callable[[str], object], object, Callable[[str], object] | None, Callable[[str], bool] | None, str, str, int]

class _Cues(Protocol):
    def before(self, text: str, start: int) -> frozenset[Any]: ...
    def after(self, text: str, end: int) -> frozenset[Any]: ...

class Pictures:
    def __init__(self, pictures: Sequence[str]) -> None: ...
    def find(self, text: str) -> list[tuple[int, int, int]]: ...

class Codes(Pictures, Generic[Found]):
    def __init__(
        self,
        pictures: Sequence[str],
        rules: Sequence[Sequence[_Rule]],
        cues: _Cues,
        is_inside_uuid: Callable[[str, int, int], bool],
        span: Callable[[tuple[int, int, str, str, int]], Found],
    ) -> None: ...
    def codes(self, text: str, hint: str | None, known: dict[str, str]) -> list[Found]: ...
