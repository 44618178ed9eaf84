"""Which answer belongs to which request, whatever order acknowledgements and answers come in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_maas import wire
from stream_maas.client import AnswerTimeoutError, Call, Prediction, RejectedError, tensors
from stream_maas.client.answers import decode, encode, rejected
from stream_maas.client.matching import Answers, Pending
from stream_maas.client.session import new_id
from stream_maas.errors import ERRORS_BY_CODE, BrokerError, UnknownModelError
from stream_maas.records import InputRecord, ModelRef, Rejection, Tensor
from stream_maas.records import Prediction as PredictionRecord

MODEL = ModelRef("sentiment-lite", "1.0.0", "0" * 64, "Apache-2.0")
LONG_S = 3600.0


def place(offset: int) -> bytes:
    return wire.audit_id("maas.requests", 0, offset).encode()


def answer(offset: int, request_id: str = "r", code: str | None = None) -> InputRecord:
    """The result record that answers the request at `offset`; its id says so too."""
    if code is None:
        outputs = (Tensor("label", "BYTES", (1,), ["positive"]),)
        value = wire.encode_prediction(PredictionRecord(id=request_id, model=MODEL, outputs=outputs))
    else:
        value = wire.encode_rejection(Rejection(request_id, code, "somewhere", ERRORS_BY_CODE[code].retryable))
    headers = wire.answer_headers(
        "prediction" if code is None else "rejection",
        request_id=request_id, audit_id=place(offset).decode(), source="/test", traceparent=None,
    )  # fmt: skip
    return InputRecord("maas.results", 0, offset, 0, None, value, headers)


def waiting(answers: Answers, request_id: str = "r") -> Pending:
    pending = Pending(request_id, asyncio.get_running_loop())
    answers.expect(pending, LONG_S)
    return pending


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Requests 0..n-1 of ours and n..n+m of others; each of ours is sent, acknowledged and answered, perhaps twice."""
    ours, others = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    events = [
        (kind, number) for number in range(ours) for kind in ("ack", "answer", *draw(st.sampled_from([[], ["answer"]])))
    ]
    events += [("answer", number) for number in range(ours, ours + others)]
    return draw(st.permutations(events))


@given(histories())
async def test_every_request_gets_its_own_answer(history: list[tuple[str, int]]) -> None:
    """All ids are the same here, so only the coordinates can tell the answers apart."""
    answers = Answers()
    mine = {number: waiting(answers) for kind, number in history if kind == "ack"}
    for kind, number in history:
        if kind == "ack":
            answers.placed(mine[number], place(number))
        else:
            answers.arrived(answer(number, request_id=f"answer {number}"))
    for number, pending in mine.items():
        assert pending.answer.result().id == f"answer {number}"
    answers.fail(BrokerError("nobody may be left to fail"))
    await asyncio.sleep(0)
    assert not answers.open


async def test_rejection_is_an_exception_of_its_code() -> None:
    answers = Answers()
    pending = waiting(answers)
    answers.placed(pending, place(3))
    answers.arrived(answer(3, code="unknown_model"))
    with pytest.raises(UnknownModelError) as caught:
        await pending.answer
    assert isinstance(caught.value, RejectedError)
    assert (caught.value.code, caught.value.retryable, caught.value.message) == ("unknown_model", True, "somewhere")


@pytest.mark.parametrize("code", ERRORS_BY_CODE)
def test_every_code_has_its_class(code: str) -> None:
    error = rejected(Rejection("r", code, "m", ERRORS_BY_CODE[code].retryable, 250))
    assert isinstance(error, ERRORS_BY_CODE[code])
    assert (error.code, error.id, error.retryable) == (code, "r", ERRORS_BY_CODE[code].retryable)
    assert error.retry_after_ms == (250 if error.retryable else None)


async def test_timeout_says_whether_the_request_was_sent() -> None:
    answers = Answers()
    unsent, sent = Pending("a", asyncio.get_running_loop()), Pending("b", asyncio.get_running_loop())
    for pending in (unsent, sent):
        answers.expect(pending, 0.0)
    answers.placed(sent, place(1))
    outcomes = await asyncio.gather(unsent.answer, sent.answer, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BrokerError, AnswerTimeoutError]
    assert isinstance(outcomes[1], TimeoutError)
    assert not answers.open


async def test_cancelled_call_leaves_nothing_behind() -> None:
    answers = Answers()
    early, late = waiting(answers), waiting(answers)
    answers.placed(early, place(1))
    early.answer.cancel()
    late.answer.cancel()
    await asyncio.sleep(0)
    answers.placed(late, place(2))
    answers.arrived(answer(1))
    answers.arrived(answer(2))
    assert not answers.open


async def test_foreign_records_in_the_results_topic_are_passed_over() -> None:
    answers = Answers()
    pending = waiting(answers)
    answers.placed(pending, place(1))
    answers.arrived(InputRecord("maas.results", 0, 0, 0, None, b"noise"))
    answers.arrived(InputRecord("maas.results", 0, 1, 0, None, None, [("maas-audit-id", b"\xff\xfe")]))
    assert not pending.answer.done()
    answers.arrived(InputRecord("maas.results", 0, 2, 0, None, b"noise", [("maas-audit-id", place(1))]))
    with pytest.raises(BrokerError, match=r"maas\.results:0:2"):
        await pending.answer


def test_prediction_view() -> None:
    outputs = (Tensor("scores", "FP32", (1, 2), [0.25, 0.75]),)
    value = wire.encode_prediction(PredictionRecord(id="r", model=MODEL, outputs=outputs, redactions={"EMAIL": 2}))
    prediction = decode(value)
    assert isinstance(prediction, Prediction)
    assert (prediction.id, prediction.model_name, prediction.model_version) == ("r", "sentiment-lite", "1.0.0")
    assert prediction.redactions == {"EMAIL": 2}
    assert list(prediction.outputs["scores"].data) == [0.25, 0.75]
    assert prediction.raw["model_name"] == "sentiment-lite"
    assert "scores" not in repr(prediction.value) or prediction.value == value


def request(call: Call) -> Any:
    return wire.decode_request(InputRecord("t", 0, 0, 0, None, encode(call, "r1")))


def test_call_reaches_the_service_as_it_was_made() -> None:
    call = Call(
        "m", "hello", model_version="2", tenant="t", data_subject="s", purpose="p", consent_ref="c", priority=3,
        timeout_us=9, explain=True, parameters={"shop": "north"},
    )  # fmt: skip
    got = request(call)
    assert (got.id, got.model_name, got.model_version, got.inputs[0].data) == ("r1", "m", "2", ["hello"])
    assert (got.tenant, got.data_subject, got.purpose, got.consent_ref) == ("t", "s", "p", "c")
    assert (got.priority, got.timeout_us, got.explain, dict(got.parameters)) == (3, 9, True, {"shop": "north"})


def test_inputs_as_tensors_and_as_mappings_are_the_same_request() -> None:
    made = tensors(x=[[1.0, 2.0], [3.0, 4.0]], names=["a", "b"])
    written = [
        {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]},
        {"name": "names", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
    ]
    assert request(Call("m", inputs=made)).inputs == request(Call("m", inputs=written)).inputs


@pytest.mark.parametrize(
    "call", [Call("m"), Call("m", "text", inputs=[]), Call("m", inputs=[Tensor("x", "FP32", (1,), [1.0]), {}])]
)
def test_a_call_without_one_kind_of_input_is_refused(call: Call) -> None:
    with pytest.raises(TypeError):
        encode(call, "r")


def test_arrays_without_a_datatype_are_refused() -> None:
    with pytest.raises(TypeError, match="x"):
        tensors(x=[object()])


def test_new_ids_have_no_digits() -> None:
    """A recognizer that looks for digits could take an id with digits for somebody's number and redact it."""
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(name.isalpha() and name.isascii() for name in ids)


async def test_a_request_that_is_never_placed_does_not_keep_everybody_elses_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream_maas.client.matching._MOST_EARLY", 3)
    answers = Answers()
    pending = waiting(answers)
    for offset in range(10):
        answers.arrived(answer(offset))
    assert list(answers._early) == [place(7), place(8), place(9)]
    answers.forget(pending)
