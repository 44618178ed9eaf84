"""When one look at a text is enough: with its finds masked, a second one could bring up nothing.

A find of the second look that the first did not make has to do with a mask: it touches one, reaches over one, is
announced by one, or lies in what a find has left of a longer candidate. Each condition below rules one of these out;
whatever is not plain gets its second look. Whatever it lets pass, `test_looks.py` searches once more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from stream_maas.privacy.cues import JOINS
from stream_maas.privacy.rows import Located, Recognizer, Shaped
from stream_maas.privacy.runs import RUN
from stream_maas.privacy.spans import Span

_STANDS_APART: Final = re.compile(r"[.,;:!?]?(?: |$)")
"""Behind a find: blanks belong to no find, so what stands beyond them does not touch the mask either."""
_ANNOUNCES_NOTHING: Final = re.compile(rf"(?>{JOINS})(?:[^0-9@]{{12}}|[^0-9@]*$)")
"""Behind a find, which announces the next item of a list: there is none. Every item that needs to be announced has a
digit or an at sign among its first eight characters."""
_WITH_DIGIT_OR_AT: Final = re.compile("[^ ]*[0-9@][^ ]*$")
"""The last word of a find: nothing that announces a name, whether it is masked or not."""


def is_plain(row: Recognizer) -> bool:
    """Whether a find of this row depends on itself and on the words before it alone, and can reach over no mask."""
    if isinstance(row, Shaped):
        return not (row.cues or row.inside or row.rest or row.made_of == "secrets")
    return not isinstance(row, Located) or not row.announced


def is_enough(text: str, candidates: Sequence[Span], spans: Sequence[Span], rest: str) -> bool:
    """Whether nothing can be found in `rest`, which is `text` with `spans` masked. All of `candidates` come from plain
    rows, and `spans` are those of them that stand."""
    if "]" in text or (len(candidates) > len(spans) and not _all_lie_in(candidates, spans)):
        return False
    for start, end, _, _, _ in spans:
        if (
            (start and text[start - 1] != " ")
            or not _STANDS_APART.match(text, end)
            or not _ANNOUNCES_NOTHING.match(text, end)
            or not _WITH_DIGIT_OR_AT.search(text, max(start, end - 40), end)
            or (text[start].isupper() and _follows_capital(text, start))
        ):
            return False
    return RUN.search(rest) is None


def _all_lie_in(candidates: Sequence[Span], spans: Sequence[Span]) -> bool:
    starts = [span.start for span in spans]
    return all(
        (at := bisect_right(starts, candidate.start) - 1) >= 0 and candidate.end <= spans[at].end
        for candidate in candidates
    )


def _follows_capital(text: str, start: int) -> bool:
    """Whether the word before `start` may be a name that was read together with the find."""
    word = text[max(0, start - 40) : start].split()[-1:]
    return bool(word) and not word[0][0].islower()
