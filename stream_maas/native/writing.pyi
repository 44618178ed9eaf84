from collections.abc import Callable
from typing import Any

class Pseudonyms:
    def __init__(self, letters: str, chars: int) -> None: ...
    def spell(self, entity_type: str, value: str, key: Any) -> str: ...

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
