"""Building the packaged models from public data. Needs the extra `train`; serving never imports this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_maas.errors import ServiceError


def train_sentiment_lite(
    out_dir: Path,
    *,
    source: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Train sentiment-lite and write its bundle into `out_dir` (made if missing; files of other names stay).

    `source`: a downloaded vaderSentiment-3.3.2.tar.gz; None fetches it with pip. `progress(stage, done, total)`
    is called before each stage and once at the end. Returns the metrics that also stand in bundle.yaml.

    Raises `ServiceError` when the extra is not installed, the source cannot be had or is not the pinned one, or
    the model stays below its floors; then nothing is written.
    """
    try:
        from stream_maas.inference.train import sentiment_lite
    except ModuleNotFoundError as error:
        raise ServiceError("training needs scikit-learn and onnx: pip install 'stream-maas[train]'") from error
    return sentiment_lite.train(out_dir, source, progress or (lambda stage, done, total: None))


__all__ = ["train_sentiment_lite"]
