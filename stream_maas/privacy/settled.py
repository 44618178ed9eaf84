"""Which finds need no treatment, because nothing is learned from them: how one text by itself is written at once.

`Treatment` is the reference: what is written here is what it writes. A text that it has to see to is left to it, and
without the kernel each is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from stream_maas import native
from stream_maas.privacy.fold import fold
from stream_maas.privacy.keys import PseudonymKey
from stream_maas.privacy.operators import PSEUDONYMS, Pseudonym, Writing
from stream_maas.privacy.plan import Plan
from stream_maas.privacy.spans import Span
from stream_maas.privacy.transform import TOKEN
from stream_maas.privacy.treatment import MODEL, Engine

_KERNEL: Final = native.load("writing")
Written = tuple[str, dict[str, int], dict[str, int], bool]
"""The text, finds by entity type and by operator, and whether a find was in disguise."""
Write = Callable[[str, list[Span], str | None], Written | None]
"""(text, its finds, tenant) -> what is written; None where a treatment has to see to it. Raises what it likes."""


def writer(plan: Plan, engine: Engine, key_of: Callable[[str | None], PseudonymKey]) -> Write:
    """What writes texts under `plan`. `key_of`: the key of a tenant's pseudonyms."""
    if _KERNEL is None or engine.shadow is not None or not plan.is_plain:
        return _leave
    write: Write = _KERNEL.Settled(
        plan.root,
        engine.announced,
        engine.calling_codes,
        TOKEN.fullmatch,
        fold,
        (lambda tenant: Writing(partial(key_of, tenant)), key_of, Pseudonym, PSEUDONYMS),
        MODEL,
    ).written
    return write


def _leave(text: str, spans: list[Span], tenant: str | None) -> None:
    """Everything to a treatment."""
