from collections.abc import Callable, Container, Mapping
from typing import Any

class Pseudonyms:
    def __init__(
        self, letters: str, chars: int, forms: Container[str], canonical: Callable[[str, str, str], str]
    ) -> None: ...
    def write(self, entity_type: str, value: str, writing: Any, calling_code: str = "") -> str: ...

def code(text: str) -> str | None: ...

class Writer:
    def __init__(
        self,
        is_token: Callable[[str], object],
        fold: Callable[[str], Any],
        remember: Callable[[Any, str, str], None],
        put_on_trial: Callable[[Any, str], None],
        model: str,
        keep: str,
    ) -> None: ...
    def write(self, treatment: Any, text: str, spans: list[Any], hint: str | None) -> str: ...

class Settled:
    def __init__(
        self,
        state: Any,
        announced: Container[str],
        calling_codes: Mapping[str, str],
        is_token: Callable[[str], object],
        fold: Callable[[str], Any],
        writing: tuple[Callable[[str | None], Any], Callable[[str | None], Any], type[Any], Pseudonyms],
        model: str,
    ) -> None: ...
    def written(
        self, text: str, spans: list[Any], tenant: str | None
    ) -> tuple[str, dict[str, int], dict[str, int], bool] | None: ...
