"""How a spaCy model is asked for names: in a process of its own that is killed when it is late, and started again.

The process reads one JSON text per line and answers with one line, `[[start, end, label], ...]`. It gets nothing but
texts in which recognizers find nothing any more, writes nothing and has no other connection; whatever it prints goes
nowhere, since a traceback may quote a text.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Final

from stream_maas.errors import SettingsError
from stream_maas.privacy import Policy, RedactionConfig

LABELS: Final = {
    "PERSON": "PERSON", "PER": "PERSON", "FAC": "ADDRESS", "ADDRESS": "ADDRESS", "STREET": "ADDRESS",
}  # fmt: skip
"""spaCy's label -> entity type. Towns, countries and organisations are nobody's by themselves."""
_START_S: Final = 60.0
"""Loading a model takes one to several seconds, on a busy machine more."""
_PAUSE_S: Final = 5.0
"""After a failure: so long every question is answered with a failure at once, and no process is started."""
_MOST_CHARS: Final = 20_000
"""spaCy's memory grows with the text; what is longer is refused."""
_READ_BYTES: Final = 65_536


class ModelGoneError(Exception):
    """The model did not answer in time, or its process is gone. Holds no text."""


class SpacyModel:
    """A `privacy.NameModel`. Every question takes at most `timeout_s`; one at a time, from any thread."""

    def __init__(self, model: str, timeout_s: float, command: Sequence[str] = ()) -> None:
        """Starts the process and waits for it. `command`: another program that speaks the same lines.

        Raises SettingsError if spaCy or the model is not installed, or does not load.
        """
        self._command = [*command] or [sys.executable, "-m", __name__, model]
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._launched_s = self._not_before_s = 0.0
        try:
            self._start()
        except ModelGoneError:
            raise SettingsError(
                f"privacy.ner_model: {model} does not load; pip install 'stream-maas[ner]' and the model's package"
            ) from None

    @property
    def pid(self) -> int | None:
        """Of the model's process; None between a failure and the next start."""
        return self._process.pid if self._process is not None else None

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, entity type) of each name and address, in code points of `text`.

        Raises ModelGoneError when the answer is not there in time; the process is then killed and started again at a
        later question.
        """
        if len(text) > _MOST_CHARS:
            raise ModelGoneError("above the length that a model is asked about")
        with self._lock:
            if self._process is None:
                if time.monotonic() < self._not_before_s:
                    raise ModelGoneError("the model failed a moment ago")
                self._launch()
            answer = self._ask(json.dumps(text).encode("ascii") + b"\n", self._timeout_s)
        size = len(text)
        return [
            (start, end, LABELS[label]) for start, end, label in answer if label in LABELS and 0 <= start < end <= size
        ]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _start(self) -> None:
        self._launch()
        self._line(_START_S)
        self._is_ready = True

    def _launch(self) -> None:
        """Does not wait: until the model has loaded, questions fail at once."""
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, or what a test handed in
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._is_ready = False
        self._launched_s = time.monotonic()

    def _ask(self, question: bytes, timeout_s: float) -> list[tuple[int, int, str]]:
        if not self._is_ready:
            # The first line of a process says that it is ready.
            self._line(0.0, is_loading=time.monotonic() < self._launched_s + _START_S)
            self._is_ready = True
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            os.set_blocking(process.stdin.fileno(), False)
            self._write(process.stdin, question, timeout_s)
            answer = json.loads(self._line(timeout_s))
            return [(int(start), int(end), str(label)) for start, end, label in answer]
        except (OSError, ValueError, TypeError):
            self._give_up()
            raise ModelGoneError("the model's process is gone") from None

    def _write(self, stdin: IO[bytes], question: bytes, timeout_s: float) -> None:
        """A pipe takes 64 KiB and then waits for its reader, who may hang."""
        deadline_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            while question:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    self._give_up()
                    raise ModelGoneError("the model does not read")
                question = question[os.write(stdin.fileno(), question) :]

    def _line(self, timeout_s: float, *, is_loading: bool = False) -> bytes:
        """The next line of the process. One that is still loading is left alone if there is none."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline_s = time.monotonic() + timeout_s
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    if not is_loading:
                        self._give_up()
                    raise ModelGoneError("the model did not answer in time")
                read = os.read(process.stdout.fileno(), _READ_BYTES)
                if not read:
                    self._give_up()
                    raise ModelGoneError("the model's process has ended")
                line += read
        return line

    def _give_up(self) -> None:
        self._not_before_s = time.monotonic() + _PAUSE_S
        self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def model_for(config: RedactionConfig) -> SpacyModel | None:
    """The model of the settings, started if the policy asks one; None if it does not.

    Raises SettingsError if the policy asks a model and none is set, or it does not load.
    """
    if not config.policy or not Policy.load(config.policy).needs_model:
        return None
    if not config.ner_model:
        raise SettingsError("privacy.ner_model: the policy asks a model for names, so one is needed")
    return SpacyModel(config.ner_model, config.ner_timeout_ms / 1000)


def serve(model: str) -> None:
    """The process: answers on standard output until standard input ends. Only the steps that names need are loaded."""
    import spacy

    pipeline = spacy.load(model, exclude=["tagger", "parser", "lemmatizer", "attribute_ruler", "morphologizer"])
    answers = sys.stdout.buffer
    answers.write(b"[]\n")
    answers.flush()
    for line in sys.stdin.buffer:
        found = [[entity.start_char, entity.end_char, entity.label_] for entity in pipeline(json.loads(line)).ents]
        answers.write(json.dumps(found).encode("ascii") + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
