"""The page as people see it: it draws what the topics hold, tells of an alert at once, and says when it is stale."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from tests.browser.conftest import PERSONAL, PHONE, SCREENSHOTS, Deployment, OpenPage, ended
from tests.unit.dashboard.samples import alert

pytestmark = pytest.mark.asyncio(loop_scope="session")  # one browser for all

ALERT_SHOWN_MS = 3_000
"""How soon after its event an alert must be on the page: the promise, not a guess about this machine."""
DRAWN_MS = 30_000
STALE_MS = 20_000
FILLED = """(id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  if (!canvas) return 0;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colours.add(data.slice(i, i + 3).join());
  return colours.size;
}"""
"""Different opaque colours on a chart: axes and grid alone have two or three."""


async def publish(deployment: Deployment, topic: str, document: Any, key: bytes = b"series") -> None:
    producer = AIOKafkaProducer(bootstrap_servers=deployment.bootstrap, acks="all")
    await producer.start()
    try:
        value = json.dumps(document).encode()
        await producer.send_and_wait(f"{deployment.prefix}.{topic}", value, key=key, partition=0)
    finally:
        await producer.stop()


def now_alert(event: str, sequence: int, incident: str, **members: Any) -> dict[str, Any]:
    now_us = time.time_ns() // 1000
    times = {"at_us": now_us, "started_at_us": now_us - 20_000_000, "watermark_us": now_us}
    data = alert(event, sequence, incident, **times | members)
    return {"specversion": "1.0", "type": f"org.stream-maas.alert.{event}.v1", "id": data["event_id"], "data": data}


async def filled(page: Any) -> None:
    """Wait until all three charts have drawn something."""
    for chart in ("rate", "latency", "stages"):
        await page.wait_for_function(f"(id) => ({FILLED})(id) > 3", arg=chart, timeout=DRAWN_MS)


async def test_charts_draw_what_the_topics_hold(deployment: Deployment, open_page: OpenPage) -> None:
    deployment.send("misled", count=40, model="no-such-model")
    async with open_page(deployment.url) as page:
        await page.locator("#freshness[data-state=live]").wait_for(timeout=DRAWN_MS)
        await filled(page)
        assert await page.locator("#prefix").text_content() == deployment.prefix
        assert await page.locator("#views button").all_text_contents() == [
            "everything", "sentiment-lite 1.0.0", "lane default",
        ]  # fmt: skip
        assert "unknown model" in await page.locator("#codes").inner_text()
        redacted = await page.locator("#redactions").inner_text()
        assert "email" in redacted
        assert "card" in redacted
        await page.locator("#lag .row").nth(1).wait_for(timeout=DRAWN_MS)
        assert await page.locator("#lag .row").count() == 2
        assert "No monitor" in await page.locator("#verdict").inner_text()
        await page.get_by_role("radio", name="sentiment-lite").click()
        await page.locator("#codes .empty").wait_for()


async def test_explorer_tells_types_and_never_values(deployment: Deployment, open_page: OpenPage) -> None:
    async with open_page(deployment.url) as page:
        await page.keyboard.press("/")
        await page.keyboard.type("order-1")
        await page.keyboard.press("Enter")
        decision = page.locator("#decision")
        await decision.get_by_role("heading", name="order-1").wait_for(timeout=DRAWN_MS)
        await decision.locator(".proof[data-state=none]").wait_for()
        told = await decision.inner_text()
        assert "EMAIL 1" in told
        assert "sentiment-lite 1.0.0" in told
        assert re.search(r"queue .* redact .* infer", told)
        assert "Not sealed" in told
        await decision.get_by_text("The exact bytes").click()
        everything = await page.content() + await (await page.request.get(f"{deployment.url}api/snapshot")).text()
        for value in PERSONAL:
            assert value not in everything
        await page.goto(f"{deployment.url}#decision=nobody")
        await decision.get_by_text("No such decision").wait_for()


async def test_decision_is_found_by_its_coordinates(deployment: Deployment, open_page: OpenPage) -> None:
    async with open_page(deployment.url) as page:
        rows = (await (await page.request.get(f"{deployment.url}api/decisions?limit=200")).json())["rows"]
        place = f"{rows[-1]['partition']}:{rows[-1]['offset']}"
        await page.goto(f"{deployment.url}#decision={place}")
        await page.locator("#decision").get_by_role("heading", name=rows[-1]["id"]).wait_for()
        document = json.loads(await page.locator("#decision pre").text_content())
        request = document["data"]["request"]
        await page.goto(f"{deployment.url}#decision={request['topic']}:{request['partition']}:{request['offset']}")
        place_told = f"audit, partition {rows[-1]['partition']}, offset {rows[-1]['offset']}"
        await page.locator("#decision").get_by_text(place_told).wait_for()


async def test_alert_appears_within_three_seconds_and_is_acknowledged(
    deployment: Deployment, open_page: OpenPage, read_all: Any
) -> None:
    async with open_page(deployment.url) as page:
        await page.locator("#freshness[data-state=live]").wait_for(timeout=DRAWN_MS)
        await publish(deployment, "alerts", now_alert("firing", 0, "a", summary="The budget burns."))
        row = page.locator("#alerts .alert[data-state=firing]")
        await row.get_by_text("The budget burns.").wait_for(timeout=ALERT_SHOWN_MS)
        await page.get_by_role("heading", name="1 alert firing").wait_for()
        assert (await page.title()).startswith("(1)")
        assert await page.locator("#timeline rect.firing").count() == 1

        await page.keyboard.press("j")
        await page.keyboard.press("a")
        await page.get_by_label("Who are you?").fill("ana")
        await page.get_by_role("button", name="Send").click()
        await page.locator("#act").wait_for(state="hidden")
        records = await read_all(deployment.bootstrap, f"{deployment.prefix}.alert-commands")
        command = json.loads(records[-1].value)
        assert (command["command"], command["incident_id"], command["by"]) == ("acknowledge", "a" * 64, "ana")

        await publish(deployment, "alerts", now_alert("acknowledged", 1, "a"))
        await page.locator("#alerts .alert[data-state=acknowledged]").wait_for(timeout=ALERT_SHOWN_MS)
        await publish(deployment, "alerts", now_alert("resolved", 2, "a"))
        await page.locator("#alerts .alert[data-state=resolved]").wait_for(timeout=ALERT_SHOWN_MS)


async def test_silence_is_shown_and_ended(deployment: Deployment, open_page: OpenPage) -> None:
    await publish(deployment, "alerts", now_alert("pending", 0, "b", rule="queue-delay", labels={"lane": "default"}))
    async with open_page(deployment.url) as page:
        await page.locator("#alerts .alert[data-state=pending] [data-act=silence]").click(timeout=DRAWN_MS)
        await page.get_by_label("Who are you?").fill("ben")
        await page.get_by_role("button", name="Send").click()
        silence = page.locator(".silence", has_text="rule queue-delay, lane default")
        await silence.wait_for(timeout=DRAWN_MS)
        assert "ben" in await silence.inner_text()
        await silence.get_by_role("button", name="End").click()
        await page.get_by_role("button", name="Send").click()
        await silence.wait_for(state="detached", timeout=DRAWN_MS)


async def test_budgets_and_a_real_alert_come_from_the_monitor(deployment: Deployment, open_page: OpenPage) -> None:
    """A monitor watches requests that expire: its alert and burn rates are shown, and it hears the acknowledgement."""
    monitor, _ = deployment.start("monitor", "--time-scale", "0.02", "--instance", "m1")
    try:
        async with open_page(deployment.url) as page:
            await page.locator("#slos .slo", has_text="sentiment-lite 1.0.0").wait_for(timeout=DRAWN_MS)
            deployment.send("late", count=120, timeout_us=1)
            alert_row = page.locator("#alerts .alert[data-state=firing]:not([data-muted])", has_text="errors-lane:fast")
            await alert_row.wait_for(timeout=DRAWN_MS)
            assert "lane default uses up its error budget" in await alert_row.inner_text()
            lane = page.locator("#slos .slo", has_text="errors-lane")
            await lane.locator(".burn[data-tone=bad]", has_text="fast limit 14.4").wait_for(timeout=DRAWN_MS)
            assert "0.0 % of the budget left" in await lane.inner_text()
            assert "watched up to" in await page.locator("#monitor").inner_text()
            await alert_row.get_by_role("button", name="Acknowledge").click()
            await page.get_by_label("Who are you?").fill("ana")
            await page.get_by_role("button", name="Send").click()
            acknowledged = page.locator("#alerts .alert[data-state=acknowledged]", has_text="errors-lane:fast")
            await acknowledged.wait_for(timeout=DRAWN_MS)
    finally:
        assert ended(monitor)


async def test_phone_and_dark(deployment: Deployment, open_page: OpenPage) -> None:
    """Nothing sticks out of a phone's screen; pictures of all forms are kept for people to look at."""
    deployment.send("look")
    SCREENSHOTS.mkdir(exist_ok=True)
    dark = {"color_scheme": "dark"}
    looks: dict[str, dict[str, Any]] = {"desktop": {}, "desktop-dark": dark, "phone": PHONE, "phone-dark": PHONE | dark}
    grounds = {}
    for name, options in looks.items():
        async with open_page(deployment.url, **options) as page:
            await filled(page)
            await page.locator("#decisions .row").nth(1).click()
            await page.locator("#decision .proof[data-state=none]").wait_for()
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name}: {wide} pixels stick out"
            grounds[name] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            await page.evaluate("scrollTo(0, 0)")
            await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    assert grounds["desktop"] == grounds["phone"] != grounds["desktop-dark"] == grounds["phone-dark"]


async def test_theme_and_help_by_keyboard(deployment: Deployment, open_page: OpenPage) -> None:
    async with open_page(deployment.url, color_scheme="light") as page:
        await filled(page)
        before = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.keyboard.press("t")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        await page.reload()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        await page.keyboard.press("?")
        await page.get_by_role("heading", name="Keys").wait_for()
        await page.keyboard.press("Escape")
        await page.locator("#help").wait_for(state="hidden")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"


async def test_page_says_that_it_is_stale_and_recovers(served: Deployment, open_page: OpenPage) -> None:
    kept_url = served.url
    process = served.dashboard()
    url, port = served.url, served.url.rstrip("/").rpartition(":")[2]
    try:
        async with open_page(url, quiet=False) as page:
            await page.locator("#freshness[data-state=live]").wait_for(timeout=DRAWN_MS)
            process.terminate()
            assert process.wait(30) == 0
            await page.locator("#freshness[data-state=stale]").wait_for(timeout=STALE_MS)
            await page.get_by_role("heading", name="Out of date").wait_for()
            assert "out of date" in await page.get_by_role("alert").first.inner_text()
            process = served.dashboard(port=port)
            await page.locator("#freshness[data-state=live]").wait_for(timeout=DRAWN_MS)
            await page.get_by_role("heading", name="Out of date").wait_for(state="detached")
    finally:
        process.terminate()
        process.wait(30)
        served.url = kept_url


async def test_stream_resumes_where_it_broke(deployment: Deployment) -> None:
    """What a browser does by itself: it names the last id, and gets exactly what it missed."""
    async with aiohttp.ClientSession(deployment.url) as session:
        last_id = (await (await session.get("/api/snapshot")).json())["last_id"]
        numbers = await _numbers(session, {"Last-Event-ID": last_id}, 3)
        again = await _numbers(session, {"Last-Event-ID": last_id}, 3)
        later = await _numbers(session, {"Last-Event-ID": f"{last_id.rpartition('-')[0]}-{numbers[1]}"}, 1)
    first = int(last_id.rpartition("-")[2])
    assert numbers == again == [first + 1, first + 2, first + 3]
    assert later == [first + 3]


async def _numbers(session: aiohttp.ClientSession, headers: dict[str, str], count: int) -> list[int]:
    found: list[int] = []
    async with session.get("/api/stream", headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"id: "):
                found.append(int(line.rpartition(b"-")[2]))
            if len(found) == count:
                break
    return found
