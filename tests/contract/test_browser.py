# SPDX-License-Identifier: Apache-2.0
"""Chromium loads the page of a boot and the agent's status page, uses them by mouse and keyboard, and asks nobody else for anything."""

import asyncio
import base64
import contextlib
import itertools
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests import boots_made
from tests import embedded_nodes as nodes
from tests.contract.test_web import TCP, port
from tests.embedded_nodes import agent, until_moment

from tidegate.report import boot_html
from tidegate.sim.faults import FaultKind

pytestmark = pytest.mark.needs("chromium")
WITHIN = 60.0
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-sync", "--disable-component-update", "--remote-debugging-port=0",
)  # fmt: skip


class Browser:
    """One page of a running Chromium, driven over its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method; events that come meanwhile are noted."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = json.loads((await self._socket.receive()).data)
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if told.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
            self.complaints.append(json.dumps(params))

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is."""
        told = await self.do(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        while not await self.value(expression):  # noqa: ASYNC110  a page tells by being asked
            await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        for domain in ("Network", "Page", "Runtime", "Log"):
            await self.do(f"{domain}.enable")
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def key(self, key: str, code: int = 0) -> None:
        more = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            await self.do(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                **(more if kind == "keyDown" else {}),
            )

    async def photograph(self, path: Path) -> bytes:
        data = base64.b64decode((await self.do("Page.captureScreenshot"))["data"])
        await asyncio.to_thread(path.write_bytes, data)
        return data


@contextlib.asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Browser]:
    process = await asyncio.create_subprocess_exec(
        "chromium", *OPTIONS, f"--user-data-dir={directory / 'profile'}", "about:blank",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WITHIN), aiohttp.ClientSession() as session:
            while not (found := re.search(rb"ws://(\S+?)/", await process.stderr.readline())):
                assert process.returncode is None, "chromium did not start"
            host = found[1].decode()
            async with session.get(f"http://{host}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(
                pages[0]["webSocketDebuggerUrl"], max_msg_size=0
            ) as socket:
                yield Browser(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_the_page_of_a_boot_is_used(tmp_path: Path) -> None:
    file = tmp_path / "boot.html"
    file.write_text(boot_html.render(boots_made.boot()), encoding="utf-8")
    async with browser(tmp_path) as page:
        await page.open(file.as_uri())
        assert (await page.value("document.title")).startswith(
            "something stayed down: boot of n1"
        ), "owned?"
        assert "<script>document.title='owned'</script>" in await page.value(
            "document.body.innerText"
        )
        # by mouse
        assert await page.value("view.textContent") == "0.0 s to 65.6 s"
        await page.value("document.querySelector('[data-act=in]').click()")
        assert await page.value("view.textContent") == "16.4 s to 49.2 s"
        wide = "document.querySelectorAll('g.row rect')[3].getAttribute('width')"
        assert float(await page.value(wide)) == pytest.approx(760, abs=1), (
            "it is cut to what is shown"
        )
        await page.value("document.querySelector('[data-act=all]').click()")
        # by keyboard
        await page.value("document.getElementById('picture').focus()")
        await page.key("+", 187)
        await page.key("ArrowRight", 39)
        assert await page.value("view.textContent") == "24.6 s to 57.4 s"
        await page.key("0", 48)
        assert await page.value("view.textContent") == "0.0 s to 65.6 s"
        await page.value("document.querySelectorAll('g.row')[1].focus()")
        await page.key("Enter", 13)
        assert await page.value("view.textContent") == "1.5 s to 9.5 s"
        # folds
        assert await page.value("document.getElementById('cause-0').open") is True
        assert await page.value("document.getElementById('cause-1').open") is False
        await page.value("document.getElementById('fold').click()")
        assert (
            await page.value("[...document.querySelectorAll('details')].every(d => d.open)") is True
        )
        # on a phone, in the dark
        await page.do(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=844,
            deviceScaleFactor=2,
            mobile=True,
        )
        await page.do(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        assert await page.value("document.documentElement.scrollWidth <= 390"), (
            "the page itself never scrolls sideways"
        )
        assert (
            await page.value("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
        )
        assert (await page.photograph(tmp_path / "boot.png")).startswith(b"\x89PNG")
        assert {url.partition(":")[0] for url in page.requests} <= {"file", "data"}
        assert page.complaints == []


async def test_for_a_screen_reader_everything_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "boot.html"
    file.write_text(boot_html.render(boots_made.boot()), encoding="utf-8")
    async with browser(tmp_path) as page:
        await page.open(file.as_uri())
        await page.do("Accessibility.enable")
        tree = (await page.do("Accessibility.getFullAXTree"))["nodes"]
    for role in ("button", "image", "heading", "DisclosureTriangle"):
        named = [
            node["name"]["value"] for node in tree if node.get("role", {}).get("value") == role
        ]
        assert named, role
        assert all(named), role


async def test_the_status_page_is_live(tmp_path: Path) -> None:
    node = nodes.node(tmp_path / "node", until_moment(FaultKind.NODE_OFFLINE, 12.0))
    async with node.running(), agent(node, more=TCP) as running, browser(tmp_path) as page:
        await running.until(lambda s: "satellite.offline" in nodes.codes(s))
        url = f"http://127.0.0.1:{await port(running)}/"
        await page.open(url)
        assert "satellite.offline" in await page.value("document.body.innerText")
        await page.until("document.getElementById('live').textContent === 'live'")
        await page.value("document.getElementById('subjects').open = true")
        await page.until("!document.body.innerText.includes('satellite.offline')")
        assert await page.value("document.getElementById('subjects').open"), (
            "what the reader opened stays open"
        )
        assert (await page.photograph(tmp_path / "status.png")).startswith(b"\x89PNG")
        await running.end()
        await page.until("document.getElementById('live').textContent.includes('does not answer')")
        assert {one for one in page.requests if not one.startswith(("data:", url))} == set()
