# SPDX-License-Identifier: Apache-2.0
"""Each way in which a call can fail has its own code, says where, and comes in time."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from tests.unit.clients import faults

from tidegate.clients import http
from tidegate.clients.errors import ClientError, Trouble


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.tcp_session(agent="tidegate/test") as made:
        yield made


async def get(
    session: aiohttp.ClientSession,
    port: int,
    *,
    deadline: float = 5.0,
    connect_limit: float = 3.0,
    body_limit: int = http.BODY_LIMIT,
    scheme: str = "http",
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> http.Answer:
    return await http.request(
        session,
        "GET",
        f"{scheme}://{host}:{port}/x",
        deadline=deadline,
        system="peer",
        connect_limit=connect_limit,
        body_limit=body_limit,
        tls=tls,
    )


async def trouble_of(call: "asyncio.Future[http.Answer] | object") -> Trouble:
    with pytest.raises(ClientError) as caught:
        await call  # type: ignore[misc]
    trouble = caught.value.trouble
    assert trouble.text
    assert trouble.hint
    assert caught.value.code == trouble.code
    return trouble


async def test_an_answer_of_any_status_is_an_answer(session: aiohttp.ClientSession) -> None:
    for status in (200, 404, 500):
        async with faults.serve(faults.answer(*faults.http(status, "{}"))) as port:
            found = await get(session, port)
        assert (found.status, found.body) == (status, b"{}")
        assert found.headers["content-type"] == "application/json"


async def test_what_is_sent(session: aiohttp.ClientSession) -> None:
    heard = asyncio.Queue[bytes]()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.put_nowait(head + await reader.readexactly(8))
        writer.write(faults.http(200, "{}")[0])

    async with faults.serve(handler) as port:
        await http.request(
            session,
            "POST",
            f"http://127.0.0.1:{port}/a%2Fb?props=x%3Dy",
            deadline=5,
            system="peer",
            json={"a": 1},
            headers={"X-One": "1"},
        )
    sent = heard.get_nowait()
    assert sent.startswith(b"POST /a%2Fb?props=x%3Dy HTTP/1.1\r\n")  # the quoting is the caller's
    assert sent.endswith(b'{"a": 1}')
    for line in (b"X-One: 1", b"User-Agent: tidegate/test", b"Content-Type: application/json"):
        assert line in sent


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    answer = faults.http(302, "", "text/html", "Location: http://127.0.0.1:1/elsewhere")
    async with faults.serve(faults.answer(*answer)) as port:
        found = await get(session, port)
    assert found.status == 302
    assert found.headers["Location"] == "http://127.0.0.1:1/elsewhere"


async def test_no_proxy_from_the_environment(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with faults.serve(faults.answer(*faults.http(200, "ok"))) as port:
        assert (await get(session, port)).body == b"ok"


async def test_refused(session: aiohttp.ClientSession) -> None:
    with faults.refused() as port:
        trouble = await trouble_of(get(session, port))
    assert trouble.code == "peer.refused"
    assert trouble.text == f"http://127.0.0.1:{port}/x: no connection (Connection refused)"


async def test_a_name_that_does_not_resolve(session: aiohttp.ClientSession) -> None:
    trouble = await trouble_of(get(session, 1, host="no-such-host.invalid"))
    assert trouble.code == "peer.unreachable"
    assert "name does not resolve" in trouble.text


async def test_no_such_unix_socket(tmp_path: Path) -> None:
    connector = aiohttp.UnixConnector(str(tmp_path / "none"))
    async with aiohttp.ClientSession(connector=connector) as session:
        call = http.request(
            session, "GET", "http://peer/", deadline=1, system="peer", where="/run/none"
        )
        trouble = await trouble_of(call)
    assert trouble.code == "peer.unreachable"
    assert trouble.text == "/run/none: cannot be reached (No such file or directory)"


async def test_black_hole_costs_the_connect_limit(session: aiohttp.ClientSession) -> None:
    with faults.black_hole() as port:
        started = time.monotonic()
        trouble = await trouble_of(get(session, port, deadline=30, connect_limit=0.3))
        assert 0.25 < time.monotonic() - started < 2.0
    assert trouble.code == "peer.timeout-connect"
    assert "no connection within 0.3 s" in trouble.text


async def test_black_hole_with_a_deadline_below_the_connect_limit(
    session: aiohttp.ClientSession,
) -> None:
    with faults.black_hole() as port:
        trouble = await trouble_of(get(session, port, deadline=0.3))
    assert trouble.code == "peer.timeout-connect"


async def test_hangs_after_accepting(session: aiohttp.ClientSession) -> None:
    with faults.accepts_and_hangs() as port:
        trouble = await trouble_of(get(session, port, deadline=0.3))
    assert trouble.code == "peer.timeout"
    assert "no complete answer within 0.3 s" in trouble.text


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\n", b"Content-"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",),
    ],
)
async def test_stops_in_the_middle(session: aiohttp.ClientSession, parts: tuple[bytes]) -> None:
    async with faults.serve(faults.answer(*parts, then="hang")) as port:
        assert (await trouble_of(get(session, port, deadline=0.3))).code == "peer.timeout"
    for then in ("close", "reset"):
        async with faults.serve(faults.answer(*parts, then=then)) as port:
            assert (await trouble_of(get(session, port))).code == "peer.disconnected"


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_closed_without_an_answer(session: aiohttp.ClientSession, then: str) -> None:
    async with faults.serve(faults.answer(then=then)) as port:
        assert (await trouble_of(get(session, port))).code == "peer.disconnected"


async def test_only_a_get_is_ever_repeated(session: aiohttp.ClientSession) -> None:
    heard: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heard.append(head.decode().split()[0])
            if "/first" not in head.decode():
                return  # hangs up on a connection that was kept open
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    for method in ("GET", "PUT", "POST", "DELETE"):
        heard.clear()
        async with faults.serve(handler) as port:
            url = f"http://127.0.0.1:{port}"
            await http.request(session, "GET", f"{url}/first", deadline=5, system="peer")
            call = http.request(session, method, f"{url}/then", deadline=5, system="peer")
            assert (await trouble_of(call)).code == "peer.disconnected"
        assert heard == (["GET", "GET", "GET"] if method == "GET" else ["GET", method])


async def test_slow_bytes_do_not_outlive_the_deadline(session: aiohttp.ClientSession) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with faults.serve(drip) as port:
        started = time.monotonic()
        assert (await trouble_of(get(session, port, deadline=0.4))).code == "peer.timeout"
        assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    "sent",
    [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x15\x03\x03\x00\x02\x02\x46", b"HTTP/1.1 okay\r\n\r\n"],
)
async def test_what_does_not_speak_http(session: aiohttp.ClientSession, sent: bytes) -> None:
    async with faults.serve(faults.answer(sent)) as port:
        trouble = await trouble_of(get(session, port))
    assert trouble.code == "peer.garbage"
    assert "does not speak HTTP" in trouble.text


async def test_a_body_is_bounded(session: aiohttp.ClientSession) -> None:
    async with faults.serve(faults.answer(*faults.http(200, b"x" * 1001))) as port:
        trouble = await trouble_of(get(session, port, body_limit=1000))
    assert trouble.code == "peer.garbage"
    assert "longer than 1000 bytes" in trouble.text


async def test_a_cancelled_call_stays_cancelled(session: aiohttp.ClientSession) -> None:
    with faults.accepts_and_hangs() as port:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(get(session, port))
            await asyncio.sleep(0)
            task.cancel()
    assert task.cancelled()


async def test_vanished_hosts_are_noticed_by_tcp(session: aiohttp.ClientSession) -> None:
    async with faults.serve(faults.answer(b"HTTP/1.1 200 OK\r\n\r\n", then="hang")) as port:
        response = await http.open_stream(
            session, f"http://127.0.0.1:{port}/", deadline=5, system="peer"
        )
        with contextlib.closing(response):
            assert response.connection is not None
            assert response.connection.transport is not None
            peer = response.connection.transport.get_extra_info("socket")
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
            assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


# --- TLS -----------------------------------------------------------------------------------------


def server_tls(cert: trustme.LeafCert, client_ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        client_ca.configure_trust(context)
    return context


def client_tls(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    return context


async def tls_trouble(
    session: aiohttp.ClientSession, server: ssl.SSLContext, client: ssl.SSLContext
) -> Trouble:
    async with faults.serve(faults.answer(*faults.http(200, "{}")), server) as port:
        call = get(session, port, scheme="https", host="localhost", tls=client)
        trouble = await trouble_of(call)
    assert trouble.code == "peer.tls"
    assert trouble.text.startswith(f"https://localhost:{port}/x: ")
    return trouble


async def test_tls_that_is_right(session: aiohttp.ClientSession) -> None:
    ca = trustme.CA()
    server = server_tls(ca.issue_cert("localhost"))
    async with faults.serve(faults.answer(*faults.http(200, "{}")), server) as port:
        found = await get(session, port, scheme="https", host="localhost", tls=client_tls(ca))
    assert found.status == 200


async def test_unknown_ca(session: aiohttp.ClientSession) -> None:
    server = server_tls(trustme.CA().issue_cert("localhost"))
    trouble = await tls_trouble(session, server, client_tls(trustme.CA()))
    assert "unknown CA" in trouble.text


async def test_expired(session: aiohttp.ClientSession) -> None:
    ca = trustme.CA()
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    cert = ca.issue_cert("localhost", not_before=past, not_after=past + dt.timedelta(days=1))
    trouble = await tls_trouble(session, server_tls(cert), client_tls(ca))
    assert "expired" in trouble.text


async def test_wrong_host(session: aiohttp.ClientSession) -> None:
    ca = trustme.CA()
    trouble = await tls_trouble(session, server_tls(ca.issue_cert("other.example")), client_tls(ca))
    assert "wrong host" in trouble.text


@pytest.mark.parametrize(
    ("has_own", "text", "hint"),
    [
        (False, "handshake failure", "client certificate"),
        (True, "our client certificate was refused", "whose CA the peer trusts"),
    ],
)
async def test_client_certificate_refused_by_an_alert(
    session: aiohttp.ClientSession, has_own: bool, text: str, hint: str
) -> None:
    ca = trustme.CA()
    client = client_tls(ca)
    if has_own:
        trustme.CA().issue_cert("me").configure_cert(client)
    server = server_tls(ca.issue_cert("localhost"), client_ca=ca)
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 the alert is a race with our request
    with faults.says_no_in_tls(server) as port:
        call = get(session, port, scheme="https", host="localhost", tls=client)
        trouble = await trouble_of(call)
    assert trouble.code == "peer.tls"
    assert text in trouble.text
    assert hint in trouble.hint


def test_the_alert_of_tls_1_3_is_understood() -> None:
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    late = aiohttp.ClientOSError(1, "lost")
    late.__cause__ = alert
    found = http.trouble(late, system="peer", where="https://x", deadline=1, connect_limit=1)
    assert (found.code, found.text) == ("peer.tls", "https://x: client certificate needed")


async def test_https_to_a_plain_port(session: aiohttp.ClientSession) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(faults.http(400, "no")[0])

    async with faults.serve(plain) as port:
        call = get(session, port, scheme="https", host="localhost", tls=client_tls(trustme.CA()))
        trouble = await trouble_of(call)
    assert trouble.code == "peer.tls"
    assert "does not speak TLS" in trouble.text


async def test_a_silent_port_does_not_hold_a_tls_handshake(session: aiohttp.ClientSession) -> None:
    # LINSTOR's plain port is silent when spoken to in TLS (data/linstor g_tls)
    with faults.accepts_and_hangs() as port:
        call = get(
            session,
            port,
            scheme="https",
            connect_limit=0.3,
            deadline=10,
            tls=client_tls(trustme.CA()),
        )
        trouble = await trouble_of(call)
    assert trouble.code == "peer.timeout-connect"
    assert "TLS" in trouble.text
