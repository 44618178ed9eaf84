from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Find = TypeVar("Find")

class Scanner(Generic[Find]):
    def __init__(
        self,
        tables: Any,
        cues: Any,
        joins: Callable[[str, int, int], bool],
        glued_extension: Callable[[str, int], object],
        is_inside_uuid: Callable[[str, int, int], bool],
        known_windows: Callable[[str, int, int, Any], Iterable[Find]],
        span: Callable[[tuple[int, int, str, str, int]], Find],
    ) -> None: ...
    def find(self, text: str, hint: str | None, known: Mapping[str, str]) -> list[Find]: ...
