"""The door of this room: records in, `Redacted` records out, or a refusal. Nothing else may build `Redacted`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from msgspec.structs import replace

from stream_maas.errors import RedactionError, RequestError, SettingsError, TooLargeError
from stream_maas.privacy import canaries, gate, recognizers
from stream_maas.privacy.chunks import CHUNK_CHARS
from stream_maas.privacy.config import RedactionConfig
from stream_maas.privacy.detect import Detector
from stream_maas.privacy.explain import Entity, Recorder
from stream_maas.privacy.fold import fold
from stream_maas.privacy.hints import ALIASES
from stream_maas.privacy.keys import DerivedKeys, PseudonymKey, PseudonymKeys
from stream_maas.privacy.payload import is_clear, walk_key, walk_request
from stream_maas.privacy.plan import Plan, compile_plan, strict_plan
from stream_maas.privacy.policy import DEFAULT_POLICY, Policy
from stream_maas.privacy.settled import Write, writer
from stream_maas.privacy.spans import Known, Span
from stream_maas.privacy.treatment import SUBJECT, TEXT, Engine, Looked, NameModel, Treatment
from stream_maas.privacy.walk import LimitError, Walk, is_prose
from stream_maas.records import Redacted, RedactionReport, Request

T = TypeVar("T")

_DEFAULTS: Final = RedactionConfig()
_DIGEST_CHARS: Final = 12
_MOST_PASSES: Final = 8
"""A value learned late in a record is looked for again in what came before, which seldom brings up another one. A
record made to need more passes is refused."""


class Redactor:
    """Finds personal data and does to it what the policy says; without one, replaces it by its type: `[EMAIL]`.
    Redacting twice changes nothing.

    Stateless between calls; may be used from several threads. Every method fails closed: it returns a complete
    result or raises RedactionError or TooLargeError, whose message names a place ("inputs[0].data[3]"), no value.
    """

    policy: Final[str]
    """Name, version and digest of the policy, `default-1/0f1e2d3c4b5a`. Recorded in audit events."""
    ruleset: Final[str]
    """Name and digest of the recognizers: workers with equal rulesets find alike."""
    engine: Final[str]
    """Multi-pattern engine: "re2", "hyperscan" or "re". All find the same."""
    warning: Final[str]
    """What whoever runs this should know about the engine, "" for nothing. For logs, readiness and people."""
    nothing_found: Final[RedactionReport]
    """The report of a record in which nothing was found, or that could not be redacted."""
    cut_short: Final[RedactionReport]
    """The report of a record that reached a limit."""

    def __init__(
        self,
        config: RedactionConfig = _DEFAULTS,
        policy: Policy | None = None,
        keys: PseudonymKeys | None = None,
        model: NameModel | None = None,
    ) -> None:
        """`policy` and `keys` replace what `config` says about them. `model` is asked where the policy says so; without
        it, a record that the policy wants it for is rejected.

        Raises SettingsError if the engine is not installed, the policy is wrong, or it asks for pseudonyms and there
        is no key.
        """
        self._config = config
        self._prose_chars = min(config.max_text_chars, CHUNK_CHARS)
        """Texts up to here are searched before there is a walk, and at once."""
        policy = policy if policy is not None else Policy.load(config.policy) if config.policy else DEFAULT_POLICY
        self._model = model
        self._keys = keys if keys is not None else _configured_keys(config)
        if self._keys is None and policy.needs_key:
            raise SettingsError("privacy.pseudonym_key: the policy makes pseudonyms, so a key is needed")
        self._gate = gate.choose(config.gate)
        self.engine = self._gate
        self.warning = gate.warning(self._gate)
        self.policy = policy.id
        self.ruleset = f"{recognizers.RULES_NAME}/{recognizers.rules_digest(ALIASES)[:_DIGEST_CHARS]}"
        self.nothing_found = RedactionReport(self.ruleset, self.engine)
        self.cut_short = RedactionReport(self.ruleset, self.engine, truncated=True)
        self._engines: dict[tuple[frozenset[str], frozenset[str]], Engine] = {}
        self._common = self._with_engine(compile_plan(policy, None))
        self._strict = self._with_engine(strict_plan(policy))
        self._tenants = {tenant: self._with_engine(compile_plan(policy, tenant)) for tenant in policy.tenants}
        self._writers: dict[str | None, Write] = {None: self._writer(*self._common)}
        """Of texts by themselves: for each tenant with rules of its own, None for all others."""
        self._writers.update((tenant, self._writer(*found)) for tenant, found in self._tenants.items())

    def redact_text(self, text: str, *, tenant: str | None = None) -> Redacted[str]:
        """One text under the tenant's policy; JSON text is walked as a document."""
        return self._text(text, tenant, None)

    def explain(self, text: str, *, tenant: str | None = None) -> tuple[Redacted[str], list[Entity]]:
        """`redact_text`, and every find in the text as it was given: where it stands, who found it, what was done."""
        recorder = Recorder(text)
        redacted = self._text(text, tenant, recorder)
        return redacted, recorder.entities()

    def redact_request(self, request: Request, *, key: bytes | None = None) -> Redacted[Request]:
        """All that the client wrote, and the record's key, under the policy of the request's tenant. `data_subject`
        is None in the result, and what it said is found wherever else it stands.

        In a numeric tensor a personal number becomes 0: datatype and shape stay valid and the counts say that it
        happened, where a rejection would let one cell withhold the answer to a whole batch of rows.
        """
        plan, engine = self._for(request.tenant)
        if plan.is_plain and is_clear(engine.detector, self._config, request, key):
            clear = request if request.data_subject is None else replace(request, data_subject=None)
            return Redacted(clear, {}, key, self.nothing_found)
        walk = self._walk(plan, engine, request.tenant, request.purpose)
        if request.data_subject is not None:
            walk.treatment.learn_subject(request.data_subject)
        value, new_key = self._run(walk, "request", _visit_request, (request, key))
        return self._redacted(value, walk.treatment, new_key)

    def subject_stand_in(self, request: Request) -> str | None:
        """What may tell of the request's data subject beyond this process: its pseudonym, or itself, where the policy
        says so; None otherwise."""
        plan, engine = self._for(request.tenant)
        operator = plan.root.action(SUBJECT).operator
        if request.data_subject is None or operator.name not in ("pseudonym", "keep"):
            return None
        treatment = self._walk(plan, engine, request.tenant, request.purpose).treatment
        return operator.write(SUBJECT, request.data_subject, treatment.writing)

    def redact_document(self, value: object) -> Redacted[object]:
        """Any JSON value of which nobody knows whose it is, such as a request that failed its schema: whatever is
        personal to any tenant is replaced by its type."""
        walk = self._walk(*self._strict, None, None)
        return self._redacted(self._run(walk, "document", Walk.value, value), walk.treatment)

    def redact_line(self, text: str) -> str:
        """A line for people, such as of a log: like `redact_document`."""
        return self._run(self._walk(*self._strict, None, None), "line", Walk.text, text)

    def report(self, redacted: Redacted[Request] | None, *, stopped: bool = False, client: str = "") -> RedactionReport:
        """What the audit event says. Of a record that did not come through nothing is known, except whether a limit
        `stopped` it. `client`: policy under which the client says that it redacted the record."""
        report = redacted.report if redacted is not None else self.cut_short if stopped else self.nothing_found
        return replace(report, client=client) if client else report

    def self_test(self) -> None:
        """Raises ServiceError, naming the entity type, if a canary gets through."""
        canaries.check(self.redact_line)

    def _text(self, text: str, tenant: str | None, recorder: Recorder | None) -> Redacted[str]:
        """Prose is searched before there is a walk, which most texts never need."""
        plan, engine = self._for(tenant)
        visit = Walk.text if recorder is None else recorder.visit
        looked = _look(engine.detector, text) if plan.is_plain and is_prose(text, self._prose_chars) else None
        if looked is not None:
            if not looked[0]:
                return Redacted(text, {}, None, self.nothing_found)
            if recorder is None and (settled := self._settled(text, looked[0], tenant)):
                return settled
            treatment = self._treatment(plan, engine, tenant, None)
            if recorder is not None:
                recorder.listen_to(treatment)
            written = _treat(treatment, text, looked)
            if recorder is not None:
                recorder.pass_done()
            if written is not None:
                if not treatment.is_stale() and (not treatment.unsettled or written is text):
                    return self._redacted(written, treatment)
                walk = Walk(treatment, self._config)
                walk.start_again()
                if recorder is not None:
                    recorder.follow(walk)
                return self._redacted(self._run(walk, "text", visit, written), treatment)
        walk = self._walk(plan, engine, tenant, None)
        if recorder is not None:
            recorder.listen_to(walk.treatment)
            recorder.follow(walk)
        return self._redacted(self._run(walk, "text", visit, text), walk.treatment)

    def _settled(self, text: str, spans: list[Span], tenant: str | None) -> Redacted[str] | None:
        """`text` with its finds treated, where nothing is learned from them. None where a treatment has to see to it,
        also to what fails here."""
        try:
            written = (self._writers.get(tenant) or self._writers[None])(text, spans, tenant)
        except Exception:  # noqa: BLE001 - see above
            return None
        if written is None:
            return None
        value, counts, operators, folded = written
        report = RedactionReport(self.ruleset, self.engine, operators, {TEXT: counts}, {}, folded)
        return Redacted(value, counts, None, report)

    def _writer(self, plan: Plan, engine: Engine) -> Write:
        return writer(plan, engine, partial(self._key, plan, None))

    def _for(self, tenant: str | None) -> tuple[Plan, Engine]:
        return self._common if tenant is None else self._tenants.get(tenant, self._common)

    def _with_engine(self, plan: Plan) -> tuple[Plan, Engine]:
        packs = (plan.packs, plan.shadow_packs)
        if packs not in self._engines:
            self._engines[packs] = make_engine(self._gate, *packs)
        return plan, self._engines[packs]

    def _treatment(self, plan: Plan, engine: Engine, tenant: str | None, purpose: str | None) -> Treatment:
        treatment = Treatment(plan, engine, partial(self._key, plan, purpose, tenant))
        treatment.model = self._model
        return treatment

    def _key(self, plan: Plan, purpose: str | None, tenant: str | None) -> PseudonymKey:
        if self._keys is None:
            raise RedactionError("no key for pseudonyms")
        return self._keys.current(tenant or "", plan.purpose if plan.purpose is not None else purpose or "")

    def _walk(self, plan: Plan, engine: Engine, tenant: str | None, purpose: str | None) -> Walk:
        return Walk(self._treatment(plan, engine, tenant, purpose), self._config)

    def _redacted(self, value: T, treatment: Treatment, key: bytes | None = None) -> Redacted[T]:
        return Redacted(value, treatment.counts, key, treatment.report(self.ruleset, self.engine))

    def _run(self, walk: Walk, whole: str, visit: Callable[[Walk, T], T], value: T) -> T:
        """`visit` until nothing is left that was learned too late or changes any more. `whole` names in messages what
        is redacted."""
        treatment = walk.treatment
        try:
            for _ in range(_MOST_PASSES):
                visited = visit(walk, value)
                if not treatment.is_stale() and (not treatment.unsettled or _is_same(visited, value)):
                    return visited
                value = visited
                walk.start_again()
            failure: RequestError = RedactionError(f"{whole}: redaction failed")
        except (LimitError, RecursionError) as error:
            limit = "depth" if isinstance(error, RecursionError) else error
            failure = TooLargeError(f"{walk.place() or whole}: above the {limit} limit of redaction")
        except Exception:  # noqa: BLE001 - fail closed, whatever it was
            failure = RedactionError(f"{walk.place() or whole}: redaction failed")
        # Raised outside of the handler, so that nothing chains to an error whose message may quote the text.
        raise failure


def make_engine(gate_engine: gate.Engine, packs: frozenset[str], shadow_packs: frozenset[str]) -> Engine:
    """The detector for these jurisdictions. Raises SettingsError if the multi-pattern engine is not installed."""
    rows = recognizers.rows_for(packs)
    on_trial = [row for row in recognizers.rows_for(packs | shadow_packs) if row not in rows] if shadow_packs else []
    detector = Detector(rows, gate_engine)
    return Engine(
        detector,
        detector.announced,
        {row.name: code for row in rows if (code := getattr(row, "calling_code", ""))},
        Detector(on_trial, gate_engine) if on_trial else None,
    )


def _configured_keys(config: RedactionConfig) -> PseudonymKeys | None:
    return DerivedKeys(config.pseudonym_key, config.pseudonym_epoch) if config.pseudonym_key else None


def _look(detector: Detector, text: str) -> Looked | None:
    """What there is in a text of which nothing is known. None where that fails: then the walk will, and refuse it."""
    known: Known = {}
    try:
        return *detector.search(fold(text), None, known), known
    except Exception:  # noqa: BLE001 - see above
        return None


def _treat(treatment: Treatment, text: str, looked: Looked) -> str | None:
    """The first pass over a text that was searched already. None where that fails: then the walk begins anew."""
    try:
        return treatment.treated(text, looked)
    except Exception:  # noqa: BLE001 - see above
        return None


def _is_same(visited: object, value: object) -> bool:
    """What did not change is the same object; a request comes back in a new pair."""
    if isinstance(visited, tuple) and isinstance(value, tuple):
        return all(one is other for one, other in zip(visited, value, strict=True))
    return visited is value


def _visit_request(walk: Walk, pair: tuple[Request, bytes | None]) -> tuple[Request, bytes | None]:
    request, key = pair
    return walk_request(walk, request), None if key is None else walk_key(walk, key)
