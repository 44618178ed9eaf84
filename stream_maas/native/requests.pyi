from collections.abc import Callable, Mapping
from typing import Any

class Fields:
    def __init__(
        self,
        *,
        parts: Callable[[Any], tuple[Any, ...]],
        unset: object,
        make_tensor: Callable[..., Any],
        check_tensors: Callable[[Any, str], int],
        label_strings: Callable[[str, str], int],
        read_outputs: Callable[[Any], tuple[tuple[str, ...], int]],
        text: Callable[[Any, str], str],
        understood: Mapping[str, tuple[int, Callable[[Any, str], Any]]],
        defaults: list[Any],
        parameters_place: int,
        most_chars: int,
    ) -> None: ...
    def of(self, body: Any) -> tuple[list[Any], int]: ...
