"""A headless Chromium, a deployment with real traffic, and pages that note everything a browser complains about.

Debian's chromium is driven by Playwright. Where either is missing these tests fail under CI and are skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.conftest import IN_CI
from tests.support.workers import WorkerProcess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
TEXTS = (
    "What a lovely film.",
    "Two hours of my life that I will not get back; write to anna.berg@example.org",
    "My card 4111 1111 1111 1111 was charged twice.",
)
PERSONAL = ("anna.berg", "example.org", "4111 1111", "4111111111111111")
"""What of these texts must be nowhere on the page."""
Process = subprocess.Popen[str]
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1440, "height": 900}}


@dataclass
class Complaints:
    """What the console, the page and the network said that nobody wants to hear."""

    lines: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("console", lambda message: message.type in ("error", "warning") and self.lines.append(message.text))
        page.on("pageerror", lambda error: self.lines.append(str(error)))
        page.on("request", self._request)

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.lines.append(f"another host: {parts.hostname}")


class OpenPage(Protocol):
    """Type of the fixture `open_page`."""

    def __call__(self, url: str, *, quiet: bool = True, **options: Any) -> Any: ...


@pytest.fixture(scope="session")
def chromium_possible() -> None:
    reason = None if CHROMIUM else "no chromium on the PATH (Debian: apt-get install chromium)"
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        reason = reason or "playwright is not installed (pip install --group test)"
    if reason and IN_CI:
        pytest.fail(f"this CI machine must have a browser: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_page(chromium_possible: None) -> AsyncIterator[OpenPage]:
    """Open a page in a browser context of its own: `async with open_page(url, **context options) as page`.

    With `quiet` (the default) the block ends with the check that the browser complained about nothing.
    """
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        @asynccontextmanager
        async def open_one(url: str, *, quiet: bool = True, **options: Any) -> AsyncIterator[Any]:
            context = await browser.new_context(**(DESKTOP | options))
            complaints = Complaints()
            page = await context.new_page()
            complaints.watch(page)
            await page.goto(url)
            yield page
            if quiet:
                assert complaints.lines == []
            await context.close()

        yield open_one
        await browser.close()


@dataclass
class Deployment:
    """A broker with topics, a worker that has answered real requests, and a dashboard over them."""

    bootstrap: str
    prefix: str
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("STREAM_MAAS_")} | {
            "STREAM_MAAS_BOOTSTRAP": self.bootstrap,
            "STREAM_MAAS_PREFIX": self.prefix,
            "STREAM_MAAS_WORKER_APP_ID": self.prefix,
        }

    def run(self, *arguments: str, text: str = "") -> str:
        """Standard output of `stream-maas ARGUMENTS`, which must end with 0."""
        done = subprocess.run(
            [sys.executable, "-m", "stream_maas", *arguments], env=self.environment, input=text, capture_output=True,
            text=True, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(self, name: str, *, count: int = 30, model: str = "sentiment-lite", timeout_us: int | None = None) -> None:
        """Ask the worker NAME-0, NAME-1, ... and wait for its answers."""
        more = {} if timeout_us is None else {"timeout": timeout_us}
        lines = [json.dumps({"id": f"{name}-{n}", "text": TEXTS[n % len(TEXTS)]} | more) for n in range(count)]
        self.run("send", "--model", model, "--json", text="\n".join(lines) + "\n")

    def start(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[Process, dict[str, Any]]:
        """`stream-maas NAME ARGUMENTS` and what its ready line says; end it with `ended`."""
        command = [sys.executable, "-m", "stream_maas", name, "--json", *arguments]
        process = subprocess.Popen(command, env=self.environment | (env or {}), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if (document := json.loads(line)).get("status") == "ready":
                return process, document
        pytest.fail(f"{name} ended before it was ready")

    def dashboard(self, *, env: Mapping[str, str] | None = None, **settings: str) -> Process:
        """A dashboard process, whose address is in `url` then. `settings` are those of its own section."""
        named = {f"STREAM_MAAS_DASHBOARD_{name.upper()}": value for name, value in settings.items()}
        process, ready = self.start("dashboard", env={"STREAM_MAAS_DASHBOARD_PORT": "0"} | named | (env or {}))
        self.url = ready["url"]
        return process


def ended(process: Process) -> bool:
    """Ask it to end; whether it did so cleanly."""
    process.terminate()
    return process.wait(30) == 0


@pytest.fixture(scope="session")
def served(embedded_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with a worker and answered requests, and no dashboard yet."""
    deployment = Deployment(embedded_broker, f"page-{uuid.uuid4().hex[:8]}")
    deployment.run("topics", "create", "--partitions", "2")
    worker = WorkerProcess(embedded_broker, deployment.prefix, "w1", tmp_path_factory.mktemp("worker"))
    worker.start()
    try:
        deployment.send("order")
        yield deployment
    finally:
        worker.kill()


@pytest.fixture(scope="session")
def deployment(served: Deployment) -> Iterator[Deployment]:
    """The same with a dashboard."""
    process = served.dashboard()
    try:
        yield served
    finally:
        assert ended(process)
