# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR client against controllers on loopback: what it asks, and what it makes of each answer."""

import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx
from tests.unit.clients import faults
from tests.unit.clients.controllers import Controller, client_of, trouble_of

from tidegate.clients.linstor.client import LinstorClient


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("tidegate"):
        yield


@pytest.fixture
async def controller() -> AsyncIterator[Controller]:
    async with Controller().running() as made:
        yield made


# --- the calls ---------------------------------------------------------------------------------

CALLS: list[tuple[str, Callable[[LinstorClient], Awaitable[Any]]]] = [
    ("GET /v1/controller/version", lambda c: c.version()),
    ("GET /health", lambda c: c.health()),
    ("GET /v1/nodes", lambda c: c.nodes()),
    ("GET /v1/nodes/n%2F1%20x", lambda c: c.node("n/1 x")),
    ("GET /v1/resource-definitions", lambda c: c.resource_definitions()),
    (
        "GET /v1/resource-definitions?props=Aux%2FIncus%2Fname%3Da%26b&with_volume_definitions=true",
        lambda c: c.resource_definitions(
            with_volume_definitions=True, props=("Aux/Incus/name=a&b",)
        ),
    ),
    (
        "GET /v1/resource-definitions?props=a&props=b%3D%2B",
        lambda c: c.resource_definitions(props=("a", "b=+")),
    ),
    ("GET /v1/resource-definitions/r%3F/resources", lambda c: c.placements("r?")),
    ("GET /v1/resource-definitions/r/resources/n%231", lambda c: c.placement("r", "n#1")),
    ("GET /v1/resource-definitions/r/resources/n/volumes", lambda c: c.volumes("r", "n")),
    ("GET /v1/view/storage-pools?cached=true", lambda c: c.storage_pools()),
    (
        "GET /v1/view/storage-pools?nodes=a&nodes=b",
        lambda c: c.storage_pools(cached=False, nodes=("a", "b")),
    ),
    (
        "GET /v1/view/resources?nodes=a&resources=r&resources=s",
        lambda c: c.view_resources(("a",), ("r", "s")),
    ),
    ("PUT /v1/nodes/n/reconnect", lambda c: c.reconnect("n")),
    (
        "POST /v1/resource-definitions/r/resources/n/make-available",
        lambda c: c.make_available("r", "n"),
    ),
]


@pytest.mark.parametrize(("asked", "call"), CALLS, ids=[asked for asked, _ in CALLS])
async def test_what_each_call_asks(
    controller: Controller, asked: str, call: Callable[[LinstorClient], Awaitable[Any]]
) -> None:
    path = urllib.parse.unquote(asked.split()[1].partition("?")[0])
    single = path.endswith(("/n/1 x", "/n#1"))
    controller.answers.setdefault(path, {"name": "x"} if single else [])
    controller.answers["/health"] = web.Response()
    async with client_of(controller.url) as client:
        await call(client)
    assert controller.asked == [asked]
    assert controller.headers[0]["X-Tidegate-Loop"]
    assert "*/*" in controller.headers[0]["Accept"]  # /health is no JSON
    assert controller.headers[0]["User-Agent"].startswith("tidegate/")


async def test_values(controller: Controller) -> None:
    controller.answers["/v1/nodes"] = [{"name": "n1", "connection_status": "ONLINE", "new": [1]}]
    async with client_of(controller.url) as client:
        assert (await client.version()).version == "1.34.0"
        assert client.active == controller.url
        (node,) = await client.nodes()
    assert (node.name, node.connection_status) == ("n1", "ONLINE")


async def test_health_in_the_controllers_own_words(controller: Controller) -> None:
    async with client_of(controller.url) as client:
        controller.answers["/health"] = web.Response()
        assert (await client.health()).is_ok
        text = "Services not running: GrizzlyHttpServer"
        controller.answers["/health"] = web.Response(status=500, text=text)
        found = await client.health()
        assert (found.is_ok, found.text) == (False, text)
        controller.answers["/health"] = web.Response(text="<html>", content_type="text/html")
        assert (await trouble_of(client.health())).code == "controller.not-linstor"


async def test_login(controller: Controller, tmp_path: Path) -> None:
    async with client_of(controller.url, username="admin", password="a:b") as client:
        await client.version()
    assert controller.headers[-1]["Authorization"] == "Basic YWRtaW46YTpi"
    async with client_of(controller.url, username="admin", token="t-1") as client:
        await client.version()
    assert controller.headers[-1]["Authorization"] == "Bearer t-1"
    file = tmp_path / "auth.json"
    async with client_of(controller.url, token_file=str(file)) as client:
        await client.version()  # not written yet: the controller may not want one
        assert "Authorization" not in controller.headers[-1]
        for content, expected in (
            ('{"token": "t-2"}\n', "t-2"),
            ("t-3\n", "t-3"),
            ('{"token": "t-4", "more": 1}', "t-4"),
        ):
            file.write_text(content)
            await client.version()
            assert controller.headers[-1]["Authorization"] == f"Bearer {expected}"
        for useless in (b"{oops", b'{"other": 1}', b"two\nlines", b"\xff"):
            file.write_bytes(useless)
            trouble = await trouble_of(client.version())
            assert trouble.code == "controller.unauthorized"
            assert str(file) in trouble.text


# --- what an answer means ------------------------------------------------------------------------

NOT_FOUND = '[{"ret_code":-4611686018427387604,"message":"Node \'n\' not found.","correction":"Create it."}]'
FAILED = """[{"ret_code":20185089,"message":"ok so far"},{"ret_code":-4611686018427386906,
"message":"Something broke.","cause":"Disk on fire.","error_report_ids":["6B03-0001"]}]"""
LOST = '[{"ret_code":-4611686018427386906,"error_report_ids":["6B03-0002"]}]'
NO_PATH = """[{"ret_code":-4611686018427386906,"message":"Path '/v1/x' not found on server."}]"""
DENIED = '[{"ret_code":-4611686018427386900,"message":"Token expired."}]'
HTML = "<html><body>Welcome to nginx</body></html>"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (faults.http(404, NOT_FOUND), "controller.not-found", "Node 'n' not found."),
        (faults.http(500, FAILED), "controller.error", "Something broke."),
        (faults.http(500, LOST), "controller.lost-satellite", "6B03-0002"),
        (faults.http(401, DENIED), "controller.unauthorized", "Token expired."),
        (faults.http(403, HTML, "text/html"), "controller.unauthorized", "403"),
        (faults.http(200, HTML, "text/html"), "controller.not-linstor", "HTML page"),
        (faults.http(200, "hello", "text/plain"), "controller.not-linstor", "text/plain"),
        (faults.http(502, HTML, "text/html"), "controller.not-linstor", "502"),
        (faults.http(404, HTML, "text/html"), "controller.not-linstor", "404"),
        (faults.http(200, '{"some": "thing"}'), "controller.not-linstor", ""),
        (faults.http(200, '"text"'), "controller.not-linstor", "JSON of another shape"),
        (faults.http(404, ""), "controller.not-linstor", "404 without a word"),
        (faults.http(404, NO_PATH), "controller.error", "Path '/v1/x' not found"),
        (faults.http(404, '{"error": "x"}'), "controller.not-linstor", "other JSON"),
        (faults.http(200, '{"name": "n", "props": {'), "controller.garbage", "not complete JSON"),
        (faults.http(200, b"\xff\xfe\x00"), "controller.garbage", "not complete JSON"),
        (faults.http(200, ""), "controller.garbage", "not complete JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_an_answer_means(answer: tuple[bytes], code: str, said: str) -> None:
    async with (
        faults.serve(faults.answer(*answer)) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        trouble = await trouble_of(client.node("n"))
    assert trouble.code == code
    assert said in trouble.text
    assert f"http://127.0.0.1:{port}/v1/nodes/n" in trouble.text


async def test_hints_come_from_linstor_where_it_has_some() -> None:
    for body, status, hint in (
        (FAILED, 500, "Disk on fire.; linstor error-reports"),
        (NOT_FOUND, 404, "Create it."),
    ):
        async with (
            faults.serve(faults.answer(*faults.http(status, body))) as port,
            client_of(f"http://127.0.0.1:{port}") as client,
        ):
            assert hint in (await trouble_of(client.node("n"))).hint


async def test_a_redirect_names_the_address_to_configure() -> None:
    location = "Location: https://127.0.0.1:3371/v1/nodes/n"
    answer = faults.answer(*faults.http(302, HTML, "text/html", location))
    async with faults.serve(answer) as port, client_of(f"http://127.0.0.1:{port}") as client:
        trouble = await trouble_of(client.node("n"))
    assert trouble.code == "controller.redirected"
    assert "https://127.0.0.1:3371" in trouble.text
    assert "https" in trouble.hint


@pytest.mark.parametrize(
    ("parts", "then", "code"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{",), "reset", "controller.disconnected"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{",), "close", "controller.disconnected"),
        ((b"HTTP/1.1 200 OK\r\nContent-",), "hang", "controller.timeout"),
        ((), "hang", "controller.timeout"),
        ((), "reset", "controller.disconnected"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), "close", "controller.garbage"),
    ],
)
async def test_faults_below_http(parts: tuple[bytes, ...], then: str, code: str) -> None:
    async with (
        faults.serve(faults.answer(*parts, then=then)) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        assert (await trouble_of(client.nodes(deadline=0.4))).code == code


async def test_none_configured() -> None:
    async with client_of() as client:
        trouble = await trouble_of(client.version())
    assert trouble.code == "controller.none-configured"
    assert "LS_CONTROLLERS" in trouble.hint


async def test_our_own_guard_is_never_asked(controller: Controller) -> None:
    guard = [("127.0.0.1", controller.port)]
    async with client_of(f"http://localhost:{controller.port}", own=guard) as client:
        trouble = await trouble_of(client.version())
    assert trouble.code == "controller.none-configured"
    assert "guard" in trouble.text
    assert controller.asked == []
