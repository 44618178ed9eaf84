"""The latest decisions: found by request id, newest first, filtered; memory is bounded."""

from __future__ import annotations

import pytest

from stream_maas.dashboard import explorer
from stream_maas.dashboard.explorer import KEPT_ROWS, Recent
from tests.unit.dashboard.samples import glance


def test_rows_are_the_newest_that_are_wanted() -> None:
    recent = Recent()
    for number, code in enumerate((None, "expired", None, "invalid_input")):
        recent.add(0, number, 1_000 + number, glance(number, code=code))
    assert [row["id"] for row in recent.rows(3)] == ["order-3", "order-2", "order-1"]
    assert [row["outcome"] for row in recent.rows(9, "rejection")] == ["invalid_input", "expired"]
    assert [row["id"] for row in recent.rows(9, "expired")] == ["order-1"]
    assert [row["id"] for row in recent.rows(9, "prediction", "sentiment-lite 1")] == ["order-2", "order-0"]
    assert recent.rows(9, None, "another 1") == []


def test_one_id_may_have_several_events() -> None:
    recent = Recent()
    recent.add(1, 5, 0, glance(7))
    recent.add(2, 9, 0, glance(7))
    assert recent.places("order-7") == [(1, 5), (2, 9)]
    assert recent.places("nobody") == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "KEPT_IDS", 3)
    recent = Recent()
    for number in range(KEPT_ROWS + 5):
        recent.add(0, number, 0, glance(number))
    assert len(recent.rows(KEPT_ROWS * 2)) == KEPT_ROWS
    assert recent.places("order-0") == []
    assert recent.places(f"order-{KEPT_ROWS + 4}") == [(0, KEPT_ROWS + 4)]
