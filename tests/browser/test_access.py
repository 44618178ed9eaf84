"""Tokens, roles and headers, tried out on a running server and in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from tests.browser.conftest import Deployment, OpenPage, ended

pytestmark = pytest.mark.asyncio(loop_scope="session")  # one browser for all

VIEWER, OPERATOR = "viewer-token-0123456789-abcd", "operator-token-0123456789-abcd"
COMMAND = {"silence_id": "0b6f0a3e-5c1d-4e0f-9c57-2b8f3a1d7e64", "by": "ana"}


@pytest.fixture(scope="module")
def guarded(served: Deployment) -> Iterator[str]:
    """Address of a dashboard that wants tokens."""
    kept = served.url
    process = served.dashboard(host="0.0.0.0", viewer_token=VIEWER, operator_token=OPERATOR)
    url, served.url = served.url, kept
    try:
        yield url
    finally:
        assert ended(process)


async def test_nothing_is_told_without_a_token(guarded: str) -> None:
    async with aiohttp.ClientSession(guarded) as session:
        for path in (
            "snapshot",
            "columns?view=all",
            "stream",
            "decisions",
            "decision?id=order-1",
            "proof?partition=0&offset=0",
        ):
            async with session.get(f"/api/{path}") as response:
                assert response.status == 401, path
                assert "order" not in await response.text()
        async with session.get("/", headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 200  # the page itself is no secret


@pytest.mark.parametrize(("token", "status"), [(VIEWER, 403), (OPERATOR, 202), ("wrong", 401)])
async def test_only_operators_act(guarded: str, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(guarded, headers=headers) as session,
        session.post("/api/command/unsilence", json=COMMAND) as response,
    ):
        assert response.status == status


async def test_other_sites_cannot_act(deployment: Deployment) -> None:
    """Through a browser of this machine: by a form, by a script, or under a name that leads to loopback."""
    async with aiohttp.ClientSession(deployment.url) as session:
        evil = {"Origin": "http://evil.example.org"}
        assert (await session.post("/api/command/unsilence", json=COMMAND, headers=evil)).status == 403
        assert (
            await session.post("/api/command/unsilence", data="x", headers={"Content-Type": "text/plain"})
        ).status == 403
        assert (await session.get("/api/snapshot", headers={"Host": "evil.example.org"})).status == 421
        assert (await session.delete("/api/snapshot")).status == 405
        assert (await session.post("/api/command/unsilence", json=COMMAND)).status == 202


async def test_headers_keep_other_pages_out(deployment: Deployment) -> None:
    async with aiohttp.ClientSession(deployment.url) as session:
        for path in ("/", "/static/app.js", "/static/nothing.js", "/api/snapshot", "/static/..%2f__init__.py", "/none"):
            response = await session.get(path)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (await session.get("/static/..%2f__init__.py")).status == 404


async def test_signing_in_by_browser(guarded: str, open_page: OpenPage) -> None:
    async with open_page(guarded, quiet=False) as page:
        await page.get_by_role("heading", name="Sign in").wait_for()
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_text("this token is not known").wait_for()
        await page.get_by_label("Token").fill(VIEWER)
        await page.get_by_role("button", name="Sign in").click()
        await page.locator("#freshness[data-state=live]").wait_for(timeout=30_000)
        (cookie,) = await page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert VIEWER not in cookie["value"]
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
