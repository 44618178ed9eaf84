from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Keys = TypeVar("Keys")

class Words(Generic[Keys]):
    def __init__(
        self,
        trie: Any,
        unspaced: Sequence[tuple[int, int]],
        gap_chars: int,
        window_chars: int,
        keys_of: Callable[[str], Keys],
        beside_mask: Callable[[str, int], Keys],
        in_other_scripts: Callable[[str], Keys],
        no_keys: Keys,
    ) -> None: ...
    def before(self, text: str, start: int) -> Keys: ...
