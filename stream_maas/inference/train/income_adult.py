"""income-adult: gradient-boosted trees over named columns, with the protected attributes kept out of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxmltools
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import roc_auc_score

from stream_maas.errors import RequestError, ServiceError
from stream_maas.inference.bundle import MODEL, load_bundle
from stream_maas.inference.config import RuntimeConfig
from stream_maas.inference.model import Model
from stream_maas.inference.train.adult import (
    CATEGORIES,
    LABELS,
    LEFT_OUT,
    NUMBERS,
    PROTECTED,
    UNKNOWN,
    Table,
    features,
    load_adult,
    ordered_categories,
)
from stream_maas.inference.train.card import model_card, rows
from stream_maas.inference.train.draft import Draft, drafted
from stream_maas.inference.train.evaluation import (
    calibration_error,
    check_floors,
    histogram,
    reference_histograms,
    rounded,
)
from stream_maas.inference.train.fairness import MIN_ROWS, gaps, group_rates
from stream_maas.inference.train.graph_builder import MACHINE_LEARNING, GraphBuilder
from stream_maas.inference.train.packages import ADULT, Shelf
from stream_maas.inference.train.stages import Progress, Stages
from stream_maas.records import Request, Tensor

NAME, VERSION, LICENCE = "income-adult", "1.0.0", "Apache-2.0"
PROBABILITIES = "probabilities"
FLOORS = {"accuracy": 0.865, "auc": 0.92}
MAX_DIFFERENCE = 1e-5
"""Between a probability served and LightGBM's own."""
PARAMETERS: dict[str, Any] = {
    "n_estimators": 300,
    "num_leaves": 24,
    "learning_rate": 0.05,
    "min_child_samples": 30,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.8,
    # One thread and fixed sums: the same rows give the same trees.
    "random_state": 0,
    "n_jobs": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
OPSET, IR_VERSION = 18, 8
_SERVED_ROWS = 1_000
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """`categories`: column -> its categories in the order that numbers them."""

    booster: lightgbm.LGBMClassifier
    categories: dict[str, list[str]]

    def probabilities(self, table: Table) -> Floats:
        """What LightGBM says: float64 [rows], of an income above 50,000."""
        return np.asarray(self.booster.predict_proba(features(table, self.categories))[:, 1], dtype=np.float64)


def train(out_dir: Path, shelf: Shelf, progress: Progress) -> dict[str, Any]:
    """See `train_model`."""
    stages = Stages(progress, {"read the census rows": 2, "fit": 3, "measure": 1, "write the bundle": 2})
    stages.start("read the census rows")
    training, test = load_adult(shelf)
    stages.start("fit")
    fitted = fit(training)
    stages.start("measure")
    probabilities = fitted.probabilities(test)
    metrics = measure(probabilities, test)
    metrics["rows"] = {"training": len(training.above), "test": len(test.above)}
    check_floors(NAME, metrics, FLOORS)
    stages.start("write the bundle")
    write_bundle(out_dir, fitted, metrics, test, probabilities)
    stages.finish()
    return metrics


def fit(training: Table) -> Fitted:
    """Gradient-boosted trees (LightGBM) over five numbers and three ordered categories."""
    categories = {name: ordered_categories(training, name) for name in CATEGORIES}
    booster = lightgbm.LGBMClassifier(**PARAMETERS)
    booster.fit(features(training, categories), training.above)
    return Fitted(booster, categories)


def measure(probabilities: Floats, test: Table) -> dict[str, Any]:
    """Accuracy, AUC and calibration; slices by age and schooling; rates and gaps of the protected groups."""
    chosen = probabilities > 0.5
    right = chosen == test.above
    age, years = test.numbers("age"), test.numbers("education_years")
    cuts = {
        "younger than 30": age < 30,
        "30 to 49": (age >= 30) & (age < 50),
        "50 and older": age >= 50,
        "no high school degree": years < 9,
        "high school to some college": (years >= 9) & (years < 13),
        "bachelor's degree and above": years >= 13,
        "a capital gain": test.numbers("capital_gain") > 0,
    }
    groups = {name: group_rates(test.columns[name], chosen, test.above) for name in PROTECTED}
    return {
        "accuracy": rounded(right.mean()),
        "auc": rounded(roc_auc_score(test.above, probabilities)),
        "calibration_error": rounded(calibration_error(probabilities, test.above)),
        "majority_class": rounded(1 - test.above.mean()),
        "slices": {
            name: {"accuracy": rounded(right[cut].mean()), "rows": int(cut.sum())} for name, cut in cuts.items()
        },
        "groups": groups,
        "gaps": {name: gaps(rates) for name, rates in groups.items()},
    }


def tree_graph(fitted: Fitted) -> bytes:
    """One input per column, FP32 or BYTES [b, 1] -> `probabilities` FP32 [b, 2]."""
    width = len(NUMBERS) + len(CATEGORIES)
    # The converter's own graph takes one float matrix; its nodes are taken over behind the columns.
    converted = onnxmltools.convert_lightgbm(
        fitted.booster.booster_,
        initial_types=[("columns", FloatTensorType([None, width]))],
        target_opset=min(OPSET, 15),
        zipmap=False,
    )
    graph = GraphBuilder()
    columns = list(NUMBERS)
    for name, categories in fitted.categories.items():
        columns.append(
            graph.add(
                "LabelEncoder", name, domain=MACHINE_LEARNING, keys_strings=categories,
                values_floats=[float(place) for place in range(len(categories))], default_float=-1.0,
            )
        )  # fmt: skip
    graph.add("Concat", *columns, name="columns", axis=1)
    graph.adopt(converted.graph.node, converted.graph.initializer)
    column = ("b", 1)
    inputs = dict.fromkeys(NUMBERS, ("FP32", column)) | dict.fromkeys(fitted.categories, ("BYTES", column))
    metadata = {"stream_maas.training_data_sha256": ADULT.sha256}
    return graph.serialise(
        "income_adult", inputs, {PROBABILITIES: ("FP32", ("b", 2))}, metadata, opset=OPSET, ir_version=IR_VERSION
    )


def write_bundle(out_dir: Path, fitted: Fitted, metrics: dict[str, Any], test: Table, probabilities: Floats) -> None:
    """Write the bundle, compare what it serves with LightGBM on the test rows, and add that to `metrics`.

    Raises `ServiceError` above MAX_DIFFERENCE; `out_dir` is then left as it was.
    """
    with drafted(out_dir) as draft:
        draft.write(MODEL, tree_graph(fitted))
        _state(draft, fitted, metrics, test, probabilities)
        served = served_probabilities(Model(load_bundle(draft.directory), RuntimeConfig()), test)
        difference = float(np.abs(served - probabilities).max())
        if difference > MAX_DIFFERENCE:
            raise ServiceError(f"{NAME}: served and trained probabilities differ by {difference:.1e}")
        metrics["max_difference_to_lightgbm"] = float(f"{difference:.1e}")
        _state(draft, fitted, metrics, test, probabilities)


def served_probabilities(model: Model, table: Table) -> Floats:
    """float64 [rows]: what a client is told for an income above 50,000. Raises `ServiceError`."""
    served: list[float] = []
    count = len(table.above)
    for start in range(0, count, _SERVED_ROWS):
        part = slice(start, min(start + _SERVED_ROWS, count))
        size = part.stop - part.start
        tensors = [Tensor(name, "FP32", (size, 1), table.numbers(name)[part].tolist()) for name in NUMBERS]
        tensors += [Tensor(name, "BYTES", (size, 1), table.columns[name][part]) for name in CATEGORIES]
        (answer,) = model.run([model.prepare(Request(str(start), "body", tuple(tensors)))])
        if isinstance(answer, RequestError):
            raise ServiceError(f"{model.ref.name}: refuses a test row ({answer.code})")
        served += next(tensor for tensor in answer.tensors if tensor.name == PROBABILITIES).data[1::2]
    return np.array(served)


def card(metrics: dict[str, Any], categories: dict[str, list[str]]) -> str:
    """Markdown. `metrics` as in bundle.yaml."""
    groups = (
        (
            f"{attribute}: {name}",
            f"{rate['rows']:,}",
            f"{rate['accuracy']:.3f}",
            *(
                f"{rate[kind]['value']:.3f} ({rate[kind]['low']:.3f} to {rate[kind]['high']:.3f})"
                for kind in ("selection_rate", "true_positive_rate", "false_positive_rate")
            ),
        )
        for attribute, rates in metrics["groups"].items()
        for name, rate in rates.items()
    )
    compared = (
        (name, f"{gap['selection_ratio']:.2f}", f"{gap['true_positive_gap']:.3f}", f"{gap['false_positive_gap']:.3f}")
        for name, gap in metrics["gaps"].items()
    )
    return model_card(
        NAME,
        **metrics["rows"],
        accuracy=metrics["accuracy"],
        auc=metrics["auc"],
        majority=metrics["majority_class"],
        calibration_error=metrics["calibration_error"],
        slices=rows(*((n, f"{cut['accuracy']:.3f}", f"{cut['rows']:,}") for n, cut in metrics["slices"].items())),
        groups=rows(*groups),
        gaps=rows(*compared),
        min_rows=MIN_ROWS,
        left_out=", ".join(LEFT_OUT),
        categories=rows(*((name, ", ".join(ordered)) for name, ordered in categories.items())),
        difference=metrics.get("max_difference_to_lightgbm", "not measured yet"),
    )


def _state(draft: Draft, fitted: Fitted, metrics: dict[str, Any], test: Table, probabilities: Floats) -> None:
    manifest = _manifest(metrics, [*reference_histograms(probabilities, LABELS), *_column_histograms(test, fitted)])
    draft.state(manifest, card(metrics, fitted.categories))


def _column_histograms(test: Table, fitted: Fitted) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for name in NUMBERS:
        values = test.numbers(name).astype(np.float64)
        edges = sorted({float(edge) for edge in np.quantile(values, _QUANTILES)} | {1.0})
        entries.append({"name": name, "edges": edges, "counts": histogram(values, edges)})
    for name, ordered in fitted.categories.items():
        names = [*ordered, UNKNOWN]
        entries.append({"name": name, "categories": names, "counts": [test.columns[name].count(n) for n in names]})
    return entries


def _manifest(metrics: dict[str, Any], reference: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [
        {"name": name, "datatype": "FP32", "shape": [-1, 1], "minimum": low, "maximum": high}
        for name, (low, high) in NUMBERS.items()
    ]
    texts = [{"name": name, "datatype": "BYTES", "shape": [-1, 1]} for name in CATEGORIES]
    return {
        "bundle": 1,
        "name": NAME,
        "version": VERSION,
        "kind": "tensor",
        "licence": LICENCE,
        "description": "Whether a person's income of 1994 was above 50,000 dollars, from census columns.",
        "intended_use": "Showing and testing a tabular model: named columns, drift and fairness windows.",
        "not_for": [
            "decisions about a person, such as hiring, credit, insurance, housing or benefits",
            "estimating the income of people of today or of another country",
        ],
        "sha256": {},
        "inputs": [*numbers, *texts],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, 2], "description": "in the order of labels"}
        ],
        "labels": {"output": PROBABILITIES, "names": list(LABELS)},
        "preprocessing": {},
        "limits": {"max_record_rows": 1024, "max_row_tokens": 16, "max_batch_rows": 2048, "max_batch_tokens": 32_768},
        "training_data": {
            "source": f"{ADULT.requirement}: {ADULT.what}, by B. Becker and R. Kohavi, 1996 ({ADULT.licence})",
            "sha256": ADULT.sha256,
        },
        "metrics": metrics,
        "tiny": True,
        "reference": reference,
    }
