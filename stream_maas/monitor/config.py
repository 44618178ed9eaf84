"""Settings of the monitor process that are not rules."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Where rules come from and whom the monitor tells."""

    rules_file: str = field(
        default="", metadata={"help": "YAML file of alert rules; empty takes the packaged ones", "secret": False}
    )
    time_scale: float = field(
        default=0.0,
        metadata={"help": "shrinks all windows and waits, 0.02 to 1; 0 takes the rules' own", "secret": False},
    )
    alertmanager_url: str = field(
        default="", metadata={"help": "post firing alerts to this Alertmanager (v2 API)", "secret": False}
    )
    webhook_url: str = field(
        default="", metadata={"help": "post every alert event as JSON to this address", "secret": False}
    )
    webhook_token: str = field(
        default="", repr=False, metadata={"help": "bearer token for the webhook and the Alertmanager", "secret": True}
    )
    resend_ms: int = field(
        default=60_000, metadata={"help": "tell the Alertmanager again what is firing", "secret": False}
    )
