"""How people and other systems hear of alerts besides the alerts topic: log line, webhook, Alertmanager's v2 API.

Kafka is the record, these are best effort: a post that fails is tried a few times and then given up. What is firing
is posted to the Alertmanager again and again, as its API wants it, so a lost post heals by itself.
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import structlog

from stream_maas.monitor.alerts import Alert, AlertEvent, summary
from stream_maas.monitor.config import MonitorConfig

log = structlog.get_logger()

ATTEMPTS = 3
TIMEOUT_S = 5.0
MAX_WAITING = 1000
_TOLD = ("firing", "escalated", "repeat", "resolved")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Notifier:
    """Tells alert events, after they are committed."""

    def __init__(self, config: MonitorConfig, *, on_failure: Callable[[str], None]) -> None:
        self._config = config
        self._on_failure = on_failure
        self._waiting: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue(MAX_WAITING)
        self._sender: asyncio.Task[None] | None = None
        self._resent_s = 0.0

    def tell(self, events: Sequence[AlertEvent]) -> None:
        """Log events and queue them for whoever else is to hear of them. Never waits."""
        for event in events:
            _log(event)
        config = self._config
        if config.webhook_url:
            for event in events:
                self._queue("webhook", config.webhook_url, dict(event.data))
        told = [event for event in events if event.step in _TOLD]
        if config.alertmanager_url and told:
            self._queue("alertmanager", self._alerts_url, [_alertmanager_event(event) for event in told])

    def remind(self, alerts: Iterable[Alert], hushed: Callable[[Alert], bool], now_s: float) -> None:
        """Post everything that is firing again, at most every `resend_ms`. `now_s`: monotonic clock."""
        if not self._config.alertmanager_url or now_s - self._resent_s < self._config.resend_ms / 1000:
            return
        self._resent_s = now_s
        firing = [_alertmanager_alert(alert) for alert in alerts if alert.firing and not hushed(alert)]
        if firing:
            self._queue("alertmanager", self._alerts_url, firing)

    async def stop(self) -> None:
        """Give what is queued a moment, then let go of it."""
        if self._sender is not None:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._waiting.join()
            except TimeoutError:
                log.warning("notifications were not sent", count=self._waiting.qsize())
            self._sender.cancel()
            self._sender = None

    @property
    def _alerts_url(self) -> str:
        return f"{self._config.alertmanager_url.rstrip('/')}/api/v2/alerts"

    def _queue(self, target: str, url: str, document: Any) -> None:
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_for_ever(), name="notifications")
        try:
            self._waiting.put_nowait((target, url, document))
        except asyncio.QueueFull:
            self._on_failure(target)

    async def _send_for_ever(self) -> None:
        headers = {"Authorization": f"Bearer {self._config.webhook_token}"} if self._config.webhook_token else {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            while True:
                target, url, document = await self._waiting.get()
                try:
                    await self._post(session, target, url, document)
                finally:
                    self._waiting.task_done()

    async def _post(self, session: aiohttp.ClientSession, target: str, url: str, document: Any) -> None:
        reason = ""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt)
            try:
                async with session.post(url, json=document) as response:
                    if response.status < 300:
                        return
                    reason = f"status {response.status}"
                    if response.status < 500:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                reason = type(error).__name__
        self._on_failure(target)
        log.warning("a notification could not be posted", target=target, reason=reason)


def _log(event: AlertEvent) -> None:
    data = event.data
    say = log.error if event.step in ("firing", "escalated") and data["severity"] == "page" else log.warning
    if event.step in ("resolved", "acknowledged", "pending"):
        say = log.info
    say(
        f"ALERT {event.step}: {data['summary']}", rule=data["rule"], severity=data["severity"],
        incident=data["incident_id"][:12], silenced=data["silenced"], inhibited_by=data.get("inhibited_by", ""),
    )  # fmt: skip


def _labels(rule: str, severity: str, labels: Mapping[str, str], incident: str) -> dict[str, str]:
    return {"alertname": rule, "severity": severity, "service": "stream-maas", "series": incident[:12], **labels}


def _alertmanager_event(event: AlertEvent) -> dict[str, Any]:
    data = event.data
    hushed = data["silenced"] or "inhibited_by" in data
    alert = _alertmanager_alert(event.alert)
    alert["annotations"] |= {"incident": data["incident_id"], "event": event.step}
    if event.step == "resolved" or hushed:
        # A hushed alert is told as over: the Alertmanager has no word for "firing, but say nothing".
        alert["endsAt"] = _time(data["at_us"])
    return alert


def _alertmanager_alert(alert: Alert) -> dict[str, Any]:
    rule = alert.rule
    return {
        "labels": _labels(rule.id, rule.severity, dict(alert.series.labels), alert.series_id),
        "annotations": {
            "summary": summary(rule, alert.series, alert.reading, "firing"),
            "runbook": rule.runbook,
            "incident": alert.incident_id,
        },
        "startsAt": _time(alert.started_us),
        "generatorURL": "",
    }


def _time(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
