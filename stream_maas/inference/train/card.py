"""How a model card is made: a Markdown text of ours, filled with what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "cards"


def model_card(name: str, **values: Any) -> str:
    """cards/NAME.md with `values` at their places. Raises `KeyError` for a place without a value."""
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8").format_map(values)


def rows(*lines: Iterable[object]) -> str:
    """Body rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def sentiment_tables(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The places `domains` and `slices` of a sentiment model's card; `metrics` as `evaluation.measure` makes them."""
    majority = {name: f"{share:.3f}" for name, share in metrics["majority_class"].items()}
    return {
        "domains": rows(
            *(
                (name, f"{accuracy:.3f}", f"{metrics['auc'][name]:.3f}", majority.get(name, ""))
                for name, accuracy in metrics["accuracy"].items()
            )
        ),
        "slices": rows(
            *((name, f"{cut['accuracy']:.3f}", f"{cut['texts']:,}") for name, cut in metrics["slices"].items())
        ),
    }
