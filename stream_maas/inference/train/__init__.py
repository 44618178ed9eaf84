"""Building models from public data. Needs the extra `train`; serving never imports this package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from stream_maas.errors import ServiceError
from stream_maas.inference.train.packages import Shelf
from stream_maas.inference.train.stages import Progress

RECIPES = {
    "sentiment-lite": "sentiment of English texts by words and pairs of words: a few microseconds, says why",
    "sentiment-plus": "the same with a transformer beside the words: 3 to 5 points more, milliseconds",
    "embedder": "English text to 384 numbers: all-MiniLM-L6-v2 in 8 bits, the same bits in any batch",
    "income-adult": "income above 50,000 dollars from census columns, protected attributes left out: a tabular model",
}
"""Name -> what it is. The module of a recipe has its name."""


def train_model(
    name: str, out_dir: Path, *, cache: Path, source: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Train model `name` of `RECIPES` and write its bundle into `out_dir` (made if missing; files of other names stay).

    `cache`: where downloaded packages are kept. `source`: a downloaded package or a folder of them, looked at first.
    Returns the metrics that also stand in bundle.yaml.

    Raises `ServiceError` when the extra is not installed, a package cannot be had or is not the pinned one, or the
    model stays below its floors; then nothing is written. `KeyError` for an unknown name.
    """
    RECIPES[name]
    try:
        recipe = import_module(f"{__name__}.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise ServiceError(f"training needs {error.name}: pip install 'stream-maas[train]'") from error
    metrics: dict[str, Any] = recipe.train(out_dir, Shelf(cache, source), progress or _silent)
    return metrics


def _silent(stage: str, done: int, total: int) -> None:
    pass


__all__ = ["RECIPES", "train_model"]
