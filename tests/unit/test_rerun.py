"""Rerun as a pure judgement: exact in the recorded batch, and every way in which a decision cannot be the same."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from stream_maas import wire
from stream_maas.inference import Catalog
from stream_maas.inference.catalog import DEFAULT_BUNDLE
from stream_maas.inference.config import RuntimeConfig
from stream_maas.ledger.boxes import BoxedRequest
from stream_maas.records import BatchPosition, Decision, Prediction, Tensor, Writer
from stream_maas.rerun import Recorded, rerun

TEXTS = ("a wonderful film", "two lost hours", "the plot is slow", "I liked it twice")


@cache
def catalog() -> Catalog:
    return Catalog.load(RuntimeConfig())


def boxed(text: str) -> BoxedRequest:
    return BoxedRequest((Tensor("text", "BYTES", (1,), [text]),))


def recorded(count: int = 4) -> list[Recorded]:
    """What the log and the boxes hold after these texts were served in one batch."""
    model = catalog().models[0]
    requests = [boxed(text) for text in TEXTS[:count]]
    rows = [model.prepare(request.to_request(f"r-{at}")) for at, request in enumerate(requests)]
    made = []
    for at, (request, output) in enumerate(zip(requests, model.run(rows), strict=True)):
        assert not isinstance(output, Exception)
        decision = Decision(
            "maas.requests", 0, at, 1, "default", f"r-{at}", "body", "prediction",
            model=model.ref, label=output.label, score_ppm=output.score_ppm,
            output_digest=wire.stable_digest(Prediction(f"r-{at}", model.ref, output.tensors)),
            batch=BatchPosition("maas.requests:0:0/0", count, at),
        )  # fmt: skip
        made.append(Recorded(f"maas.requests:0:{at}", decision, Writer("app", "w1", "1", catalog().runtime), request))
    return made


def changed(each: Recorded, **members: Any) -> Recorded:
    return replace(each, decision=replace(each.decision, **members))


def test_the_recorded_batch_gives_the_recorded_bits() -> None:
    judged = rerun(recorded(), catalog())
    assert [each.verdict for each in judged] == ["exact"] * 4
    assert all(each.batch_complete for each in judged)


def test_order_of_asking_does_not_matter() -> None:
    log = recorded()
    assert rerun(log[::-1], catalog()) == rerun(log, catalog())[::-1]


def test_a_missing_mate_is_said() -> None:
    judged = rerun(recorded()[1:], catalog())
    assert not any(each.batch_complete for each in judged)


@pytest.mark.parametrize(
    ("ppm", "verdict"), [(0, "within_tolerance"), (10, "within_tolerance"), (11, "diverged"), (-11, "diverged")]
)
def test_other_bits_are_measured(ppm: int, verdict: str) -> None:
    log = recorded(1)
    score = log[0].decision.score_ppm or 0
    odd = changed(log[0], output_digest="0" * 64, score_ppm=score + ppm)
    assert [each.verdict for each in rerun([odd], catalog())] == [verdict]


def test_another_label_is_a_flip() -> None:
    odd = changed(recorded(1)[0], output_digest="0" * 64, label="other")
    assert [each.verdict for each in rerun([odd], catalog())] == ["label_flip"]


def test_what_cannot_be_run_says_why() -> None:
    log = recorded()
    model = log[1].decision.model
    assert model is not None
    cases = [
        replace(log[0], request=None, reason="its key was destroyed"),
        changed(log[1], model=replace(model, digest="f" * 64)),
        replace(log[2], writer=Writer("app", "w1", "1", {"provider": "CUDAExecutionProvider"})),
        replace(log[3], request=BoxedRequest((Tensor("text", "INT8", (1,), [1]),))),
    ]
    judged = rerun(cases, catalog())
    assert [each.verdict for each in judged] == ["not_reproducible"] * 4
    reasons = [each.reason for each in judged]
    assert reasons[0] == "its key was destroyed"
    assert "artifact ffff" in reasons[1]
    assert "CUDAExecutionProvider then" in reasons[2]
    assert "invalid_input" in reasons[3]


def test_the_bundle_that_decided_is_taken_among_those_around_one_graph(tmp_path: Path) -> None:
    """Two bundles with one model file and other labels: what decided is what decides again."""
    log = recorded()
    relabelled = copy_bundle(tmp_path / "relabelled", labels=["bad", "good"])
    paths = (str(DEFAULT_BUNDLE), str(relabelled))
    for order in (paths, paths[::-1]):
        judged = rerun(log, Catalog.load(RuntimeConfig(models=order)))
        assert [(each.verdict, each.reason) for each in judged] == [("exact", "")] * 4


def test_another_bundle_around_the_same_graph_is_named_as_the_reason(tmp_path: Path) -> None:
    relabelled = copy_bundle(tmp_path / "relabelled", labels=["bad", "good"])
    judged = rerun(recorded(), Catalog.load(RuntimeConfig(models=(str(relabelled),))))
    assert [each.verdict for each in judged] == ["label_flip"] * 4
    assert all(each.reason.startswith("the same model file in another bundle") for each in judged)


def copy_bundle(directory: Path, labels: list[str]) -> Path:
    shutil.copytree(DEFAULT_BUNDLE, directory)
    manifest = yaml.safe_load((directory / "bundle.yaml").read_text())
    manifest["labels"]["names"] = labels
    manifest["version"] = "9.9.9"
    (directory / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    return directory
