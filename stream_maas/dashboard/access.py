"""Who may look and who may act: bearer tokens, sessions, and the two roles. Pure but for the random session ids.

Without tokens the page is for this machine alone: it binds to loopback only, and it answers only requests that name a
loopback host, so that no web site that a browser on this machine visits can reach it under a name of its own (DNS
rebinding). With tokens a browser signs in once and gets a cookie that scripts of the page cannot read; programs send
`Authorization: Bearer TOKEN`. Whoever acts must also come from the page itself (Origin).
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from stream_maas.errors import SettingsError
from stream_maas.settings import DashboardConfig

Role = Literal["viewer", "operator"]
COOKIE = "stream_maas_session"
SESSION_S = 12 * 3600
MAX_SESSIONS = 1_000
MIN_TOKEN_CHARS = 24


class Access:
    """Decides over requests by their headers. `now_s` is any clock that does not go back."""

    def __init__(self, config: DashboardConfig) -> None:
        """Raises `SettingsError` where the page would be open to others without a token."""
        self._tokens: dict[Role, str] = {"viewer": config.viewer_token, "operator": config.operator_token}
        self.open_to_this_machine = not any(self._tokens.values())
        self._local_role: Role = config.local_role
        self._sessions: OrderedDict[str, tuple[Role, float]] = OrderedDict()
        """Session id -> role and end."""
        for role, token in self._tokens.items():
            if token and len(token) < MIN_TOKEN_CHARS:
                raise SettingsError(f"dashboard.{role}_token: must have at least {MIN_TOKEN_CHARS} characters")
        if self.open_to_this_machine and not is_loopback(config.host):
            raise SettingsError(
                "dashboard.host: others could reach the page there, so dashboard.viewer_token or "
                "dashboard.operator_token must be set"
            )

    def role(self, headers: Mapping[str, str], cookie: str | None, now_s: float) -> Role | None:
        """The role of a request, None when it may not even look."""
        if self.open_to_this_machine:
            return self._local_role if is_loopback(urlsplit(f"//{headers.get('Host', '')}").hostname or "") else None
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._role_of(token.strip())
        role, ends_s = self._sessions.get(cookie or "", (None, 0.0))
        return role if now_s < ends_s else None

    def sign_in(self, token: str, now_s: float) -> str | None:
        """A new session id for whoever holds a token, else None."""
        role = self._role_of(token)
        if role is None:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = (role, now_s + SESSION_S)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def sign_out(self, cookie: str | None) -> None:
        self._sessions.pop(cookie or "", None)

    def _role_of(self, token: str) -> Role | None:
        found: Role | None = None
        for role in ("viewer", "operator"):  # all are compared, so that time tells nothing
            wanted = self._tokens[role]
            if wanted and hmac.compare_digest(token.encode(), wanted.encode()):
                found = role
        return found


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request that acts comes from our page, or from a program (browsers always say where they come from)."""
    origin = headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == headers.get("Host")


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
