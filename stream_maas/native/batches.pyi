from collections.abc import Sequence
from typing import Any

def fill(rows: Sequence[Any], start: int, head_bytes: int, most_bytes: int) -> tuple[bytearray, int]: ...
