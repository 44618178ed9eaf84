"""The page's HTTP side: which paths there are, who may use them, and which headers keep other pages out.

Nothing is loaded from another host, nothing inline runs (Content-Security-Policy), no answer is cached by others, and
no path writes anything but a command to the monitor. Personal data never arrives here: audit events hold none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Protocol

import orjson
from aiohttp import web

from stream_maas.dashboard import commands
from stream_maas.dashboard.access import COOKIE, SESSION_S, Access, Role, same_origin
from stream_maas.dashboard.explorer import Explorer
from stream_maas.dashboard.feed import Feed
from stream_maas.dashboard.hub import Hub
from stream_maas.errors import BrokerError, ServiceError, SettingsError
from stream_maas.settings import DashboardConfig

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
STATIC = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain",
}  # fmt: skip
MAX_BODY_BYTES = 16_384
MAX_ROWS = 200
KEEP_ALIVE_S = 15.0
_COORDINATES = re.compile(r"(?P<topic>[A-Za-z0-9._-]+):(?P<partition>\d{1,9}):(?P<offset>\d{1,18})")
_PLACE = re.compile(r"(?P<partition>\d{1,9}):(?P<offset>\d{1,18})")

ROLE = web.RequestKey("role", object)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Archive(Protocol):
    """The sealed log, as far as a page needs it."""

    async def prove(self, partition: int, offset: int) -> dict[str, Any] | None:
        """`leaf_index`, `tree_size`, `path` (base64), `checkpoint` (signed note) and `vkey` for the event there; None
        while it is not under a checkpoint. Raises `ServiceError` with the reason why there is no proof."""

    async def find(self, name: str) -> tuple[int, int] | None:
        """Partition and offset of an event by its id or its request's; None where that is not known at once."""


class Server:
    """Serves the page until stopped."""

    def __init__(
        self,
        config: DashboardConfig,
        feed: Feed,
        hub: Hub,
        explorer: Explorer,
        sender: commands.Sender,
        archive: Archive | None,
    ) -> None:
        """Raises `SettingsError` where the page would be open to others without a token."""
        self._config, self._feed, self._hub = config, feed, hub
        self._explorer, self._sender, self._archive = explorer, sender, archive
        self._access = Access(config)
        self._runner: web.AppRunner | None = None
        self.port = 0
        """The bound TCP port, known after `start`."""

    @property
    def url(self) -> str:
        """Where a browser of this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._config.host, self._config.host)  # noqa: S104
        return f"{'https' if self._config.tls_certfile else 'http'}://{host}:{self.port}/"

    async def start(self) -> None:
        """Raises `SettingsError` when the address cannot be had or the certificate cannot be used."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/", self._static)
        app.router.add_get("/static/{name:[a-zA-Z0-9._-]+}", self._static)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_post("/api/sign-in", self._sign_in)
        app.router.add_post("/api/sign-out", self._sign_out)
        app.router.add_get("/api/snapshot", self._snapshot)
        app.router.add_get("/api/columns", self._columns)
        app.router.add_get("/api/stream", self._stream)
        app.router.add_get("/api/decisions", self._decisions)
        app.router.add_get("/api/decision", self._decision)
        app.router.add_get("/api/proof", self._proof)
        app.router.add_post("/api/command/{name:[a-z]+}", self._command)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port, ssl_context=_tls(self._config))
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"dashboard.host, dashboard.port: {self._config.host}:{self._config.port} cannot be had "
                f"({os.strerror(error.errno or 0)}); 0 takes a free port"
            ) from error
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._hub.close()
            await self._runner.cleanup()

    # Who may ------------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        role = self._access.role(request.headers, request.cookies.get(COOKIE), time.monotonic())
        request[ROLE] = role
        try:
            refusal = self._refusal(request, role)
            response = refusal if refusal is not None else await handler(request)
        except web.HTTPException as error:
            response = _json({"error": error.reason}, error.status)
        except ServiceError as error:
            response = _json({"error": str(error)}, 502)
        if not response.prepared:
            response.headers.update(SECURITY_HEADERS)
        return response

    def _refusal(self, request: web.Request, role: Role | None) -> web.Response | None:
        """Why a request goes no further, as an answer; None when it may."""
        if self._access.open_to_this_machine and role is None:
            return _json({"error": "this page answers only under a loopback address"}, 421)
        if request.method == "POST":
            if not same_origin(request.headers) or request.content_type != "application/json":
                return _json({"error": "only the page itself may act"}, 403)
        elif request.method not in ("GET", "HEAD"):
            return _json({"error": "no such method"}, 405)
        public = not request.path.startswith("/api/") or request.path == "/api/sign-in"
        if role is None and not public:
            return _json({"error": "sign in first"}, 401)
        if request.path.startswith("/api/command/") and role != "operator":
            return _json({"error": "only an operator may do this"}, 403)
        return None

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        token = _body(await request.read()).get("token")
        session = self._access.sign_in(token, time.monotonic()) if isinstance(token, str) else None
        if session is None:
            await asyncio.sleep(0.5)  # guessing is slow
            return _json({"error": "this token is not known"}, 401)
        response = _json({"ok": True})
        response.set_cookie(
            COOKIE, session, max_age=SESSION_S, httponly=True, samesite="Strict", secure=bool(self._config.tls_certfile)
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        self._access.sign_out(request.cookies.get(COOKIE))
        response = _json({"ok": True})
        response.del_cookie(COOKIE)
        return response

    # What there is ------------------------------------------------------------------------------------------------

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "index.html")
        kind = STATIC.get(f".{name.rpartition('.')[2]}")
        file = files("stream_maas.dashboard").joinpath("static", name)
        if kind is None or not file.is_file():
            raise web.HTTPNotFound
        return web.Response(body=file.read_bytes(), content_type=kind, charset="utf-8")

    async def _healthz(self, _request: web.Request) -> web.StreamResponse:
        troubles = sorted(self._feed.troubles)
        return _json({"ok": "audit" not in troubles, "troubles": troubles}, 503 if "audit" in troubles else 200)

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        document = self._feed.snapshot(time.time())
        return _json(document | {"role": request[ROLE], "signed_in": not self._access.open_to_this_machine})

    async def _columns(self, request: web.Request) -> web.StreamResponse:
        return _json(self._feed.picture.columns(request.query.get("view", "")))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        last_id = request.headers.get("Last-Event-ID") or request.query.get("last_id", "")
        response = web.StreamResponse(headers={**SECURITY_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the browser went away; it comes back with its last id
            async for frame in self._hub.follow(last_id):
                await response.write(frame)
        return response

    async def _decisions(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "50")
        if not limit.isdigit() or not 1 <= int(limit) <= MAX_ROWS:
            raise web.HTTPBadRequest(reason=f"limit: expected 1 to {MAX_ROWS}")
        query = request.query
        return _json({"rows": self._feed.recent.rows(int(limit), query.get("outcome"), query.get("model"))})

    async def _decision(self, request: web.Request) -> web.StreamResponse:
        """One audit event by `id`: a request id, TOPIC:PARTITION:OFFSET of a request, or PARTITION:OFFSET in the
        audit topic."""
        id_ = request.query.get("id", "").strip()
        places = self._feed.recent.places(id_)
        if not places and (match := _PLACE.fullmatch(id_)):
            places = [(int(match["partition"]), int(match["offset"]))]
        elif not places and (match := _COORDINATES.fullmatch(id_)):
            coordinates = match["topic"], int(match["partition"]), int(match["offset"])
            found = await self._explorer.find_coordinates(*coordinates)
            places = [found] if found is not None else []
        if not places and id_ and self._archive is not None:
            with contextlib.suppress(ServiceError):
                older = await self._archive.find(id_)
                places = [older] if older is not None else []
        documents = [
            document
            for partition, offset in places[-20:]
            if (document := await self._explorer.record(partition, offset)) is not None
        ]
        if not documents:
            return _json({"records": []})
        return _json({"records": documents})

    async def _proof(self, request: web.Request) -> web.StreamResponse:
        """What the browser needs to check that the event at `partition` and `offset` is in the sealed log."""
        place = _PLACE.fullmatch(f"{request.query.get('partition', '')}:{request.query.get('offset', '')}")
        if place is None:
            raise web.HTTPBadRequest(reason="partition and offset: expected whole numbers")
        if self._archive is None:
            return _json({"unproven": "This page's server has no sealed log to prove it by."})
        try:
            proof = await self._archive.prove(int(place["partition"]), int(place["offset"]))
        except ServiceError as error:
            return _json({"unproven": str(error)})
        if proof is None:
            return _json({"unproven": "No checkpoint covers this event yet; a sealer signs one about every second."})
        return _json(proof)

    async def _command(self, request: web.Request) -> web.StreamResponse:
        command = commands.parse(request.match_info["name"], await request.read())
        if command is None:
            raise web.HTTPBadRequest(reason="the command does not fit its form")
        if isinstance(command, commands.Acknowledge) and command.incident_id not in self._feed.incidents:
            raise web.HTTPNotFound(reason="no such incident")
        try:
            await self._sender.send(command)
        except BrokerError as error:
            return _json({"error": str(error)}, 502)
        return _json({"ok": True}, 202)


def _json(document: Any, status: int = 200) -> web.Response:
    response = web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
    response.enable_compression()
    return response


def _body(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _tls(config: DashboardConfig) -> ssl.SSLContext | None:
    if not config.tls_certfile and not config.tls_keyfile:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_certfile, config.tls_keyfile)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("dashboard.tls_certfile, dashboard.tls_keyfile: cannot be used as PEM files") from error
    return context
