from collections.abc import Callable

class Template:
    def __init__(
        self,
        parts: list[bytes | tuple[str, str, bytes, bytes, bool]],
        shared: list[str],
        like: object,
        escaped: Callable[[str], bytes],
    ) -> None: ...
    def write(self, struct: object, given: tuple[bytes, ...]) -> bytes | None: ...
