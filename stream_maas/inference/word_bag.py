"""Word-bag models: a linear classifier over terms whose score is the same bits in any company.

The graph (written by train/graph.py) takes the term numbers of all texts in one line and where each text ends,
as PyTorch's EmbeddingBag does, so nothing is padded and long texts cost their batch mates nothing:
`ids` int32 [n], `offsets` int64 [b + 1] -> `probabilities` FP32 [b, 2], `log_odds` FP64 [b], `norms` FP64 [b],
`term_weights` FP64 [n]. Sums are of integers, so their order cannot change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from stream_maas import wire
from stream_maas.errors import BadOutputError, BundleError, RequestError, TooLargeError
from stream_maas.inference.adapter import SAMPLE_ROWS, Output, Row, score_ppm, spread, wanted_outputs
from stream_maas.inference.bundle import Bundle
from stream_maas.inference.features import read_vocabulary
from stream_maas.inference.manifest import TensorSpec, WordBagSteps
from stream_maas.inference.oip import only_text, read_texts
from stream_maas.inference.session import Array, RunError, Session
from stream_maas.records import Request, Tensor

LABEL, PROBABILITIES, CONTRIBUTIONS = "label", "probabilities", "contributions"
FEATURES = "word-bag/1"
"""Names the steps of features.py inside model.onnx; other steps need another name."""
FEATURES_KEY, VOCABULARY_KEY = "stream_maas.features", "stream_maas.vocabulary_sha256"
TOP_TERMS = 10
"""Terms named in `contributions`; the others are summed up as `rest`."""
# ONNX Runtime's kernels may treat the end of an array in another way than its middle (its Log does, by 1e-7). The
# logistic function is the one step here that is rounded, so it only ever sees whole blocks of the widest registers.
_BLOCK_ROWS = 16
_TINY = float(np.finfo(np.float64).tiny)
_OUTPUTS = {LABEL: ("BYTES", 1), PROBABILITIES: ("FP32", 2), CONTRIBUTIONS: ("BYTES", 1)}


class WordBagAdapter:
    """Checks texts, looks their terms up, and says which label and why."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises `BundleError` when bundle, vocabulary and graph do not belong together."""
        self._session = session
        self._limits = bundle.manifest.limits
        assert isinstance(bundle.steps, WordBagSteps)
        self._bag = read_vocabulary(bundle.path(bundle.steps.vocabulary))
        self._text, self._labels = _check_statements(bundle)
        self._label_tensors = [Tensor(LABEL, "BYTES", (1,), [label]) for label in self._labels]
        self._around_pair = [_around_pair(tensor) for tensor in self._label_tensors]
        _check_graph(bundle, session)
        self._bias = self._probe(bundle)

    def prepare(self, request: Request) -> Row:
        """One BYTES tensor of shape [n] or [n, 1] -> the terms of n texts."""
        text = only_text(request, self._text.name)
        if text is not None and not request.outputs and not request.explain:
            # As nearly every record is; what is too long goes the whole way, which says so.
            words, terms = self._bag.bag(text)
            if words <= self._limits.max_row_tokens:
                return Row(1, words, None, _DEFAULT, [terms])
        wanted = wanted_outputs(request, tuple(_OUTPUTS), _DEFAULT)
        if request.explain and CONTRIBUTIONS not in wanted:
            wanted += (CONTRIBUTIONS,)
        place, texts = read_texts(request, self._text, self._limits.max_record_rows)
        bags = [self._bag.bag(text) for text in texts]
        for index, bag in enumerate(bags):
            if bag.words > self._limits.max_row_tokens:
                raise TooLargeError(
                    f"{place}.data[{index}]: {bag.words} words, the limit is {self._limits.max_row_tokens}"
                )
        return Row(len(bags), sum(bag.words for bag in bags), None, wanted, [bag.terms for bag in bags])

    def fetches(self, rows: Sequence[Row]) -> Sequence[str]:
        """The terms' weights only if someone asks why."""
        if any(CONTRIBUTIONS in row.wanted for row in rows):
            return (PROBABILITIES, "log_odds", "norms", "term_weights")
        return (PROBABILITIES,)

    def feeds(self, rows: Sequence[Row]) -> Mapping[str, Array]:
        """`ids` int32 [n], `offsets` int64 [b + 1], b rounded up to whole blocks by empty texts."""
        ids, offsets = self._bag.bags([terms for row in rows for terms in row.features])
        padding = -(len(offsets) - 1) % _BLOCK_ROWS
        return {"ids": ids, "offsets": np.concatenate([offsets, np.full(padding, offsets[-1])])}

    def answers(self, rows: Sequence[Row], arrays: Mapping[str, Array]) -> list[Output | RequestError]:
        """Probabilities [b, 2] (b >= all rows) back to one answer per record."""
        probabilities = arrays[PROBABILITIES]
        count = sum(row.size for row in rows)
        if probabilities.ndim != 2 or probabilities.shape[1] != 2 or len(probabilities) < count:
            raise BadOutputError(f"{PROBABILITIES}.shape: not [rows, 2]")
        broken = set(np.flatnonzero(~np.isfinite(probabilities).all(axis=1)).tolist())
        pairs: list[list[float]] = probabilities.tolist()
        texts = wire.encode_numbers(pairs)
        answers: list[Output | RequestError] = []
        start = 0
        for row in rows:
            end = start + row.size
            if broken and not broken.isdisjoint(range(start, end)):
                answers.append(BadOutputError(f"{PROBABILITIES}.data: not a finite number"))
            elif row.wanted is _DEFAULT and row.size == 1:
                answers.append(self._usual_answer(pairs[start], texts[start]))
            else:
                reasons = self._reasons(range(start, end), arrays) if CONTRIBUTIONS in row.wanted else []
                answers.append(self._answer(row, pairs[start:end], reasons))
            start = end
        return answers

    def neutral(self) -> Row:
        """A text without words."""
        return Row(1, 0, None, _DEFAULT, [b""])

    def samples(self) -> list[Row]:
        """Texts of up to 60 words of the vocabulary."""
        rows = []
        for number in range(SAMPLE_ROWS):
            chosen = (spread(number, number * 64) * len(self._bag.terms)).astype(int).tolist()
            bag = self._bag.bag(" ".join(self._bag.terms[term] for term in chosen))
            rows.append(Row(1, bag.words, None, _DEFAULT, [bag.terms]))
        return rows

    def _usual_answer(self, pair: list[float], text: bytes) -> Output:
        """`_answer` of one text and the default outputs, which is what nearly every record asks for."""
        winner = int(pair[1] > pair[0])
        before, after = self._around_pair[winner]
        tensors = (self._label_tensors[winner], Tensor(PROBABILITIES, "FP32", _ONE_PAIR, pair))
        return Output(tensors, self._labels[winner], score_ppm(pair[winner]), b"%b%b%b" % (before, text, after))

    def _answer(self, row: Row, pairs: list[list[float]], reasons: list[str]) -> Output:
        negative, positive = self._labels
        labels = [positive if pair[1] > pair[0] else negative for pair in pairs]
        tensors = []
        for name in row.wanted:
            if name == LABEL:
                tensors.append(Tensor(LABEL, "BYTES", (row.size,), labels))
            elif name == PROBABILITIES:
                flat = pairs[0] if row.size == 1 else [value for pair in pairs for value in pair]
                tensors.append(Tensor(PROBABILITIES, "FP32", (row.size, 2), flat))
            else:
                tensors.append(Tensor(CONTRIBUTIONS, "BYTES", (row.size,), reasons))
        if row.size > 1:
            return Output(tuple(tensors))
        return Output(tuple(tensors), labels[0], score_ppm(max(pairs[0])))

    def _reasons(self, indexes: range, arrays: Mapping[str, Array]) -> list[str]:
        """JSON text per row: log_odds == bias + sum of the terms' log_odds + rest.

        The terms are the vocabulary's, so no word of the text gets out that was not in the training data.
        """
        ids, offsets = arrays["ids"], arrays["offsets"]
        reasons = []
        for index in indexes:
            start, end = int(offsets[index]), int(offsets[index + 1])
            # A text without a known term has norm 0, and no weight to divide by it.
            weights = arrays["term_weights"][start:end] / max(arrays["norms"][index], _TINY)
            top = np.argsort(-np.abs(weights), kind="stable")[:TOP_TERMS]
            named = [
                {"term": self._bag.terms[ids[start + place]], "log_odds": round(weight, 6)}
                for place, weight in zip(top.tolist(), weights[top].tolist(), strict=True)
            ]
            log_odds = float(arrays["log_odds"][index])
            reason = {
                "log_odds": round(log_odds, 6),
                "bias": round(self._bias, 6),
                "terms": named,
                "rest": round(log_odds - self._bias - float(weights[top].sum()), 6),
            }
            reasons.append(msgspec.json.encode(reason).decode())
        return reasons

    def _probe(self, bundle: Bundle) -> float:
        """The log-odds of an empty text; on the way, that the graph knows exactly the vocabulary's terms."""
        count = len(self._bag.terms)
        try:
            probe: dict[str, Array] = {"ids": np.array([count - 1], np.int32), "offsets": np.array([0, 1, 1], np.int64)}
            (log_odds,) = self._session.run(("log_odds",), probe)
        except RunError as error:
            raise BundleError(f"{bundle.path('model.onnx')}: fails on the vocabulary's last term") from error
        return float(log_odds[1])


_ONE_PAIR = (1, 2)
_DEFAULT = (LABEL, PROBABILITIES)


def _around_pair(label: Tensor) -> tuple[bytes, bytes]:
    """What stands before and behind the numbers in the JSON of the default outputs of one text."""
    outputs = wire.encode_outputs((label, Tensor(PROBABILITIES, "FP32", _ONE_PAIR, [])))
    return outputs[:-3], outputs[-3:]


def _check_statements(bundle: Bundle) -> tuple[TensorSpec, tuple[str, str]]:
    """The one text input and the two labels, negative side first."""
    manifest = bundle.manifest
    path = bundle.path("bundle.yaml")
    if [(spec.datatype, spec.shape) for spec in manifest.inputs] != [("BYTES", (-1,))]:
        raise BundleError(f"{path}: inputs: expected one BYTES tensor of shape [-1]")
    outputs = {spec.name: (spec.datatype, 1 if spec.shape == (-1,) else spec.shape[-1]) for spec in manifest.outputs}
    if outputs != _OUTPUTS:
        raise BundleError(f"{path}: outputs: expected {', '.join(_OUTPUTS)}")
    if manifest.labels is None or len(manifest.labels.names) != 2 or manifest.labels.output != PROBABILITIES:
        raise BundleError(f"{path}: labels: expected two names for {PROBABILITIES}")
    negative, positive = manifest.labels.names
    return manifest.inputs[0], (negative, positive)


def _check_graph(bundle: Bundle, session: Session) -> None:
    """The digest of the model covers its vocabulary and steps too, because the graph names them."""
    assert isinstance(bundle.steps, WordBagSteps)
    path = bundle.path("model.onnx")
    if {name: node.datatype for name, node in session.inputs.items()} != {"ids": "INT32", "offsets": "INT64"}:
        raise BundleError(f"{path}: expected the inputs ids (INT32) and offsets (INT64)")
    missing = {PROBABILITIES, "log_odds", "norms", "term_weights"} - session.outputs.keys()
    if missing:
        raise BundleError(f"{path}: lacks the outputs {', '.join(sorted(missing))}")
    if session.metadata.get(FEATURES_KEY) != FEATURES:
        raise BundleError(f"{path}: metadata {FEATURES_KEY}: expected {FEATURES}")
    if session.metadata.get(VOCABULARY_KEY) != bundle.manifest.sha256[bundle.steps.vocabulary]:
        raise BundleError(f"{path}: metadata {VOCABULARY_KEY}: made for another vocabulary")
