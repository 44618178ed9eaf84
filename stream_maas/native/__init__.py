"""Where the compiled kernels are: twins of Python that is measured to be hot, optional, with the same answers.

Rules of this room:
1. The Python beside a kernel is the reference: it runs where nothing was compiled, and everywhere if STREAM_MAAS_NATIVE
   is "off" in the environment. Tests compare the two on whatever hypothesis thinks of. A kernel decides nothing by
   itself: its tables are made of data.
2. Kernels read hostile text: indices are checked, nothing is kept between calls but tables, work is linear.
3. hatch_build.py compiles them; `python hatch_build.py` does it in place after a change.
"""

from __future__ import annotations

import os
from importlib import import_module, resources
from types import ModuleType
from typing import Final

IS_OFF: Final = os.environ.get("STREAM_MAAS_NATIVE") == "off"
"""The environment says that Python shall do all the work."""
_SUFFIX: Final = ".pyx"


def load(name: str) -> ModuleType | None:
    """The kernel `name`, None where Python does its work."""
    if IS_OFF:
        return None
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError:
        return None


def missing() -> list[str]:
    """Names of the kernels whose work Python does in this process."""
    names = sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(_SUFFIX)
    )
    return [name for name in names if load(name) is None]
