"""The safetensors format, as far as reading goes: eight bytes of length, a JSON table, the tensors end to end."""

from __future__ import annotations

import json
import struct

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
_LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 1 << 24


def read_safetensors(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Name -> array (a read-only view of `content`, little-endian as stored).

    Raises `ValueError` for anything but a well-formed file with the dtypes F16, F32, F64 and I64.
    """
    if len(content) < _LENGTH.size:
        raise ValueError("safetensors: too short")
    (length,) = _LENGTH.unpack_from(content)
    start = _LENGTH.size + length
    if length > MAX_HEADER_BYTES or start > len(content):
        raise ValueError("safetensors: the table is longer than the file")
    table = json.loads(content[_LENGTH.size : start])
    tensors = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"safetensors: {name}: dtype {entry['dtype']} is not read here")
        if not 0 <= begin <= end <= len(content) - start:
            raise ValueError(f"safetensors: {name}: leads out of the file")
        dtype = np.dtype(_DTYPES[entry["dtype"]]).newbyteorder("<")
        flat = np.frombuffer(content, dtype, count=(end - begin) // dtype.itemsize, offset=start + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
