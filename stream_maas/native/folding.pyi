from collections.abc import Callable
from typing import Generic, TypeVar

Folded = TypeVar("Folded")

class Folding(Generic[Folded]):
    def __init__(
        self,
        folded: dict[str, str],
        make: Callable[[tuple[str, None]], Folded],
        fold_invisible: Callable[[str], Folded],
    ) -> None: ...
    def fold(self, text: str) -> Folded: ...
