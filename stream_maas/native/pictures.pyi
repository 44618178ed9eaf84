from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")
_Ask = Callable[[str], object]
_Rule = tuple[bool, _Ask, object, _Ask | None, _Ask | None, str, str, int]

class Pictures:
    def __init__(self, pictures: Sequence[str]) -> None: ...
    def find(self, text: str) -> list[tuple[int, int, int]]: ...

class Codes(Pictures, Generic[Found]):
    def __init__(
        self,
        pictures: Sequence[str],
        rules: Sequence[Sequence[_Rule]],
        cues: Any,
        is_inside_uuid: Callable[[str, int, int], bool],
        span: Callable[[tuple[int, int, str, str, int]], Found],
    ) -> None: ...
    def codes(self, text: str, hint: str | None, known: dict[str, str]) -> list[Found]: ...
