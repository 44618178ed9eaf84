"""`audit rerun`: whether the decisions in the log can be made again, and how far the answers agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from stream_maas.cli.audit_options import Partitions, time_span
from stream_maas.cli.common import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    EXIT_PROBLEM,
    Bootstrap,
    ConfigFile,
    Json,
    Kek,
    Output,
    Prefix,
    Purpose,
    exit_with,
    kafka_settings,
    run_async,
)

if TYPE_CHECKING:
    from stream_maas.rerun import Judged, Recorded
    from stream_maas.settings import Settings

_SHOWN = 20


def rerun(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Ids of events, or of their requests.", show_default="all"),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many predictions at most.")] = 1_000,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="FROM..TO", help="When written: 2026-11-22T15:00:00Z, or epoch ms.", show_default="any"
        ),
    ] = None,
    partitions: Partitions = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            metavar="DIR[,DIR...]",
            help="Bundles with the recorded artifacts.",
            show_default="as the worker",
        ),
    ] = None,
    key_store: Annotated[
        Path | None, typer.Option("--key-store", metavar="FILE", help="Data keys.", show_default="audit.key_store")
    ] = None,
    key_encryption_key: Kek = None,
    purpose: Purpose = None,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Run recorded decisions again: same artifact, same redacted input, same batch.

    Says of each whether it is exact, within tolerance (same label, 10 ppm), diverged, a label flip or not
    reproducible, and why. Nothing is written to results; that decisions were run again is itself recorded. Ends with
    0 when all are exact or within tolerance, 1 for a flip or a divergence, 3 when some could not be run.

    Example: stream-maas audit rerun --limit 1000 --purpose "complaint 4711"
    """
    names = {
        "inference.models": models, "audit.key_store": str(key_store) if key_store else None,
        "audit.key_encryption_key": str(key_encryption_key) if key_encryption_key else None,
    }  # fmt: skip
    settings = kafka_settings(bootstrap, prefix, config, names)
    window = time_span(time)
    exit_with(run_async(_rerun(settings, ids or [], limit, window, partitions, purpose, Output(as_json=as_json))))


async def _rerun(
    settings: Settings, ids: Sequence[str], limit: int, window: tuple[int | None, int | None],
    partitions: Sequence[int] | None, purpose: str | None, output: Output,
) -> int:  # fmt: skip
    from stream_maas import topics
    from stream_maas.inference import Catalog
    from stream_maas.kafka.acts import by_operator, record_act
    from stream_maas.keystore import open_existing
    from stream_maas.replay.rerunning import Wanted, find_decisions, names_of, open_inputs
    from stream_maas.rerun import rerun as run

    offsets = await _offsets(settings, window[0], partitions)
    events, chosen = await find_decisions(settings, Wanted(partitions, offsets, window[1], ids, limit))
    store = open_existing(settings)
    recorded = await open_inputs(settings, events, store)
    catalog = Catalog.load(settings.inference)
    with output.progress("decisions") as bar:
        task = bar.add_task("", total=len(recorded))
        judged = run(recorded, catalog)
        bar.update(task, completed=len(recorded))
    body = {"what": "rerun", "topic": topics.audit(settings.topics.prefix), "records": len(chosen)}
    await record_act(settings, "replayed", body | by_operator(purpose=purpose))
    pairs = [(each, verdict) for each, verdict in zip(recorded, judged, strict=True) if each.event_id in chosen]
    found = {name for event in events if event.id in chosen for name in names_of(event)}
    unknown = [name for name in ids if name not in found]
    if unknown:
        output.warn(f"{len(unknown)} of the ids name no prediction (any more), the first one is {unknown[0]}")
    return _show(pairs, output, complete=not unknown)


async def _offsets(settings: Settings, from_ms: int | None, partitions: Sequence[int] | None) -> dict[int, int] | None:
    if from_ms is None:
        return None
    from stream_maas.replay.audit_log import offsets_at, open_logs

    logs = await open_logs(settings, Path(), partitions)
    return logs.beginnings | await offsets_at(logs, from_ms)


def _show(pairs: Sequence[tuple[Recorded, Judged]], output: Output, *, complete: bool) -> int:
    from stream_maas.rerun import Verdict

    counts = Counter(judged.verdict for _, judged in pairs)
    for recorded, judged in pairs:
        if output.as_json:
            output.emit({
                "event": recorded.event_id, "verdict": judged.verdict, "reason": judged.reason,
                "label": recorded.decision.label, "score_ppm": recorded.decision.score_ppm,
                "again_label": judged.label, "again_score_ppm": judged.score_ppm,
                "batch_complete": judged.batch_complete,
            })  # fmt: skip
    told = [(each, judged) for each, judged in pairs if judged.verdict not in ("exact", "within_tolerance")]
    rows = [
        (each.event_id, judged.verdict.replace("_", " "), judged.reason or _difference(each, judged))
        for each, judged in told[:_SHOWN]
    ]
    if rows:
        output.table(("event", "verdict", "why"), rows)
    if len(told) > _SHOWN:
        output.print(f"and {len(told) - _SHOWN} more, see --json", style="dim")
    code = EXIT_OK
    if counts["not_reproducible"] or not pairs or not complete:
        code = EXIT_INCOMPLETE
    if counts["label_flip"] or counts["diverged"]:
        code = EXIT_PROBLEM
    summary = {name: counts[name] for name in get_args(Verdict)}
    if output.as_json:
        output.emit({"summary": True, "decisions": len(pairs), **summary, "exit_code": code})
    text = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.items() if count)
    style = {EXIT_OK: "bold green", EXIT_PROBLEM: "bold red"}.get(code, "bold yellow")
    output.print(f"{len(pairs)} decisions run again: {text or 'there were none'}", style=style)
    return code


def _difference(recorded: Recorded, judged: Judged) -> str:
    decision = recorded.decision
    return f"{decision.label} {decision.score_ppm} ppm then, {judged.label} {judged.score_ppm} ppm now"
