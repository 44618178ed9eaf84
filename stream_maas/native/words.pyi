from collections.abc import Iterable

class NameWords:
    def __init__(
        self,
        *,
        capitals: str,
        letters: str,
        between: str,
        alone: Iterable[str],
        with_more: Iterable[str],
        particles: Iterable[str],
        phrases: Iterable[str],
    ) -> None: ...
    def may_occur_in(self, text: str) -> bool: ...
