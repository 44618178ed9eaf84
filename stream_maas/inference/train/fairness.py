"""How groups of people fare under a model: rates per group with their uncertainty, and the gaps between groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z_95 = 1.959964
"""Quantile of the normal distribution for a two-sided interval of 95 %."""
MIN_ROWS = 100
"""A smaller group is counted and not compared: its rates would be noise."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (E.B. Wilson 1927): sound for small groups and shares near 0 or 1. (0, 1) for none."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, _Z_95**2
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, centre - half), min(1.0, centre + half)


def group_rates(groups: Sequence[str], chosen: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, Any]:
    """Per group: rows, accuracy, and with intervals the selection rate, true and false positive rates.

    `chosen`: the model said yes; `truth`: it is so; both bool [rows], `groups` beside them.
    """
    names = np.asarray(groups)
    rates: dict[str, Any] = {}
    for name in sorted(set(groups)):
        own = names == name
        said, so = chosen[own], truth[own]
        rates[name] = {
            "rows": int(own.sum()),
            "accuracy": round(float((said == so).mean()), 4),
            "selection_rate": _rate(said),
            "true_positive_rate": _rate(said[so]),
            "false_positive_rate": _rate(said[~so]),
        }
    return rates


def gaps(rates: dict[str, Any]) -> dict[str, float]:
    """Between the groups of at least MIN_ROWS: least selection rate over the largest (the four-fifths rule asks for
    0.8), and the widest gaps of true and false positive rates (equalised odds asks for 0)."""
    large = [rate for rate in rates.values() if rate["rows"] >= MIN_ROWS]

    def values(kind: str) -> list[float]:
        return [rate[kind]["value"] for rate in large]

    selected = values("selection_rate")
    return {
        "selection_ratio": round(min(selected) / max(selected), 4) if max(selected) else 1.0,
        "true_positive_gap": round(max(values("true_positive_rate")) - min(values("true_positive_rate")), 4),
        "false_positive_gap": round(max(values("false_positive_rate")) - min(values("false_positive_rate")), 4),
    }


def _rate(flags: NDArray[np.bool_]) -> dict[str, float]:
    hits, of = int(flags.sum()), len(flags)
    low, high = wilson(hits, of)
    return {"value": round(hits / of, 4) if of else 0.0, "low": round(low, 4), "high": round(high, 4)}
