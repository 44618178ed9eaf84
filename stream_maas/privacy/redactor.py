"""The door of this room: records in, `Redacted` records out, or a refusal. Nothing else may build `Redacted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from stream_maas.errors import RedactionError, RequestError, TooLargeError
from stream_maas.privacy import canaries
from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.hints import ALIASES
from stream_maas.privacy.payload import is_clear, walk_key, walk_request
from stream_maas.privacy.recognizers import RECOGNIZERS, RULES_NAME, rules_digest
from stream_maas.privacy.walk import LimitError, Walk
from stream_maas.records import Redacted, RedactionReport, Request

T = TypeVar("T")

_DEFAULTS: Final = RedactionConfig()
_POLICY_DIGEST_CHARS: Final = 12
_MOST_PASSES: Final = 8
"""A number found late in a record is looked for again in what came before, which seldom brings up another one. A
record made to need more passes is refused."""


class Redactor:
    """Finds personal data and replaces it by its type: `[EMAIL]`, `[CARD]` ... Redacting twice changes nothing.

    Stateless between calls; may be used from several threads. Every method fails closed: it returns a complete
    result or raises RedactionError or TooLargeError, whose message names a place ("inputs[0].data[3]"), no value.
    """

    policy: Final[str]
    """Rule set and the beginning of its SHA-256: workers with equal policies decide alike. Recorded in audit events."""
    nothing_found: Final[RedactionReport]
    """The report of a record in which nothing was found, or that could not be redacted."""
    cut_short: Final[RedactionReport]
    """The report of a record that reached a limit."""
    engine: Final[str]
    """Multi-pattern engine: "re2" or "re". Both find the same."""

    def __init__(self, config: RedactionConfig = _DEFAULTS) -> None:
        """Raises SettingsError if the engine is not installed."""
        self._config = config
        self._detector = Detector(RECOGNIZERS, config.gate)
        self.engine = config.gate
        self.policy = f"{RULES_NAME}/{rules_digest(ALIASES)[:_POLICY_DIGEST_CHARS]}"
        self.nothing_found = RedactionReport(self.policy, self.engine)
        self.cut_short = RedactionReport(self.policy, self.engine, truncated=True)

    def redact_text(self, text: str) -> Redacted[str]:
        """One text; JSON text is walked as a document."""
        value, counts = self._redact("text", lambda walk, value: walk.text(value), text)
        return Redacted(value, counts)

    def redact_request(self, request: Request, *, key: bytes | None = None) -> Redacted[Request]:
        """All that the client wrote, and the record's key. `data_subject` is None in the result.

        In a numeric tensor a personal number becomes 0: datatype and shape stay valid and the counts say that it
        happened, where a rejection would let one cell withhold the answer to a whole batch of rows.
        """
        (value, redacted_key), counts = self._redact("request", _visit_request, (request, key))
        return Redacted(value, counts, redacted_key, self.nothing_found)

    def redact_document(self, value: object) -> Redacted[object]:
        """Any JSON value, such as a request that failed its schema."""
        redacted, counts = self._redact("document", lambda walk, document: walk.value(document), value)
        return Redacted(redacted, counts)

    def self_test(self) -> None:
        """Raises ServiceError, naming the entity type, if a canary gets through."""
        canaries.check(lambda text: self.redact_text(text).value)

    def _redact(self, whole: str, visit: Callable[[Walk, T], T], value: T) -> tuple[T, dict[str, int]]:
        """`visit` until it finds no further number. `whole` names in messages what is redacted."""
        walk = Walk(self._detector, self._config)
        try:
            for _ in range(_MOST_PASSES):
                known_count = len(walk.known)
                value = visit(walk, value)
                if len(walk.known) == known_count:
                    return value, walk.counts
                walk.start_again()
            failure: RequestError = RedactionError(f"{whole}: redaction failed")
        except (LimitError, RecursionError) as error:
            limit = "depth" if isinstance(error, RecursionError) else error
            failure = TooLargeError(f"{walk.place() or whole}: above the {limit} limit of redaction")
        except Exception:  # noqa: BLE001 - fail closed, whatever it was
            failure = RedactionError(f"{walk.place() or whole}: redaction failed")
        # Raised outside of the handler, so that nothing chains to an error whose message may quote the text.
        raise failure


def _visit_request(walk: Walk, pair: tuple[Request, bytes | None]) -> tuple[Request, bytes | None]:
    request, key = pair
    if is_clear(walk, request, key):
        return (request if request.data_subject is None else replace(request, data_subject=None)), key
    return walk_request(walk, request), None if key is None else walk_key(walk, key)
