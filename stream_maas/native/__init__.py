"""Where the compiled kernels are: twins of Python that is measured to be hot, optional, with the same answers.

Rules of this room:
1. The Python beside a kernel is the reference: it runs where nothing was compiled, and everywhere if STREAM_MAAS_NATIVE
   is "off" in the environment. Tests compare the two on whatever hypothesis thinks of. A kernel decides nothing by
   itself: its tables are made of data.
2. Kernels read hostile text: indices are checked, nothing is kept between calls but tables, work is linear.
3. hatch_build.py compiles them; `python hatch_build.py` does it in place after a change. Until then Python does the
   work of a kernel whose source has changed: what belongs to it has changed as well.
"""

from __future__ import annotations

import hashlib
import os
from importlib import import_module, resources
from types import ModuleType
from typing import Final

IS_OFF: Final = os.environ.get("STREAM_MAAS_NATIVE") == "off"
"""The environment says that Python shall do all the work."""
_SUFFIX: Final = ".pyx"


def load(name: str) -> ModuleType | None:
    """The kernel `name`, None where Python does its work."""
    compiled = None if IS_OFF else _compiled(name)
    return None if compiled is None or _is_stale(compiled, name) else compiled


def missing() -> list[str]:
    """Names of the kernels whose work Python does in this process."""
    return [name for name in _names() if load(name) is None]


def stale() -> list[str]:
    """Names of the kernels that were compiled of another source than the one beside them."""
    return [name for name in _names() if (compiled := _compiled(name)) and _is_stale(compiled, name)]


def _names() -> list[str]:
    found = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def _compiled(name: str) -> ModuleType | None:
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError:
        return None


def _is_stale(compiled: ModuleType, name: str) -> bool:
    source = resources.files(__name__).joinpath(f"{name}{_SUFFIX}").read_bytes()
    return getattr(compiled, "SOURCE_SHA256", None) != hashlib.sha256(source).hexdigest()
