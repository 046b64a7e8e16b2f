# SPDX-License-Identifier: Apache-2.0
"""What is not the rules' business passes as it is (issue 6, "It must show" 2): odd forms of requests and answers, directly and
through the guard, byte by byte on the wire."""

import gzip
import time
from pathlib import Path

import pytest
from tests.guard_wire import Got, Line, Wire, answer, ask, chunked, in_chunks, request
from tests.unit.guard.test_relay import guard

from tidegate.core.ids import NodeName
from tidegate.guard.asking import Agent
from tidegate.guard.rules import GuardRules, Settings

HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "x-tidegate"}
RD = "/v1/resource-definitions"
TARGETS = (
    "/",
    "/health",
    "/metrics?error_reports=false",
    "/v1/nodes",
    "/v1/nodes/",
    "/v1/nodes/n2",
    "/v1/nodes/n1/storage-pools",
    "/v1//nodes//n2/",
    "/v1/./nodes/../nodes/n2",
    f"{RD}?props=Aux%2FIncus%2Fname%3Dincus-volume-c1&props=Aux%2FIncus%2Ftype%3Dcontainers",
    f"{RD}?b=2&a=1&b=1&a",
    f"{RD}?",
    f"{RD}?x=a+b%20c&y=%C3%A4%2F%3F%25&z=;~!$'()*,:@",
    f"{RD}?with_volume_definitions=true&limit=0&offset=0",
    f"{RD}/incus%2Dvolume%2Dx/resources/n2/volumes",
    f"{RD}/%69ncus/resources/n2/make-available",
    "/v1/view/resources?limit=0&nodes=n1&offset=0&resources=x",
    "/v1/view/storage-pools?cached=true",
    "/v1/resource-groups/remote/spawn",
    "/v1/key-value-store/%E2%82%AC",
    "/%2e%2e/%2F/%00?%0a",
)
JSON = b'{"override_props": {"Aux/x": "\xc3\xa4"},\n  "n": 1.0}'
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def rules(node: str = "n1", *, local_truth: bool = False) -> GuardRules:
    """The rules, and no agent."""
    silent = Agent(Path("/nonexistent"), knock=0.0)
    return GuardRules(
        silent, NodeName(node), Settings(local_truth=local_truth), clock=time.monotonic
    )


async def both(wire: Wire, through: int, sent: bytes) -> tuple[Got, Got]:
    """Ask directly and through the guard; what the controller gets is the same in every word that is not about one connection."""
    before = len(wire.asked)
    direct, guarded = await ask(wire.port, sent), await ask(through, sent)
    first, second = wire.asked[before:]
    assert (second.method, second.target, second.body) == (first.method, first.target, first.body)
    kept = [
        sorted(
            (name.lower(), value)
            for name, value in one.headers
            if name.lower() not in HOP | {"x-tidegate-guard", "expect"}
            and not name.lower().startswith("x-tidegate")
        )
        for one in (first, second)
    ]
    assert kept[1] == kept[0]
    return direct, guarded


def same(direct: Got, guarded: Got) -> None:
    assert (guarded.status, guarded.body, guarded.whole) == (
        direct.status,
        direct.body,
        direct.whole,
    )
    assert guarded.kept() == direct.kept()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("local_truth", [False, True])
async def test_every_path_in_every_form_of_request(method: str, local_truth: bool) -> None:
    async with (
        Wire(answer()).serving() as wire,
        guard((wire.url,), rules(local_truth=local_truth)) as url,
    ):
        port = int(url.rpartition(":")[2])
        for target in TARGETS:
            for body in (None, b"", JSON):
                same(*await both(wire, port, request(method, target, body)))
            in_pieces = request(method, target, None, "Transfer-Encoding: chunked")
            same(*await both(wire, port, in_pieces + in_chunks(b"{", b' "a": 1', b"}")))
    assert {one.method for one in wire.asked} == {method}


ANSWERS = {
    "length": answer(),
    "empty": answer(b""),
    "no length": answer(b"[1, 2]", length=False),
    "chunks": chunked(b"[1,", b" 2", b"]"),
    "chunks and a trailer": chunked(b"[1,", b" 2", b"]", trailer="X-Checksum: 7\r\n"),
    "long chunks": chunked(b"x" * 70_000, b"y" * 200_000),
    "long": answer(b"z" * 3_000_000),
    "gzip": answer(gzip.compress(b"[]" * 500), "200 OK", "Content-Encoding: gzip"),
    "gzip in chunks": chunked(gzip.compress(b"[]" * 500), more="Content-Encoding: gzip\r\n"),
    "deflate that is none": answer(b"no deflate", "200 OK", "Content-Encoding: deflate"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "created": answer(b"[]", "201 Created", "Location: /v1/nodes/n2"),
    "moved": answer(b"", "302 Found", "Location: https://127.0.0.1:3371/v1/nodes"),
    "moved, to be kept": answer(b"", "308 Permanent Redirect", "Location: /elsewhere"),
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "unauthorized": answer(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="linstor"'),
    "not found": answer(b'[{"ret_code":-4611686018427387593,"message":"no"}]', "404 Not Found"),
    "no message": answer(b'[{"ret_code":-4611686018427386906}]', "500 Internal Server Error"),
    "odd status": answer(b"?", "599 What Is This"),
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n[]",
    "bytes": answer(bytes(range(256))),
    "headers twice": answer(
        b"{}", "200 OK", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Odd: \xc3\xa4"
    ),
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "interim": b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"{}"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n{}",
}


@pytest.mark.parametrize("form", ANSWERS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_every_form_of_answer(form: str, method: str) -> None:
    async with Wire(ANSWERS[form]).serving() as wire, guard((wire.url,), rules()) as url:
        body = JSON if method == "POST" else None
        sent = request(method, f"{RD}?", body, "Accept-Encoding: gzip")
        same(*await both(wire, int(url.rpartition(":")[2]), sent))


async def test_a_head_has_the_length_and_no_body() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n"
    async with (
        Wire(said).serving() as wire,
        guard((wire.url,), rules()) as url,
        Line.to(int(url.rpartition(":")[2])) as line,
    ):
        first = await line.ask(request("HEAD", "/v1/nodes"))
        second = await line.ask(request("HEAD", "/v1/nodes"))
    assert first.header("content-length") == ["1234"]
    assert second.status == 200, "the connection is still in step"


async def test_one_connection_after_another_request_and_pipelined() -> None:
    async with (
        Wire(lambda asked: answer(asked.target.encode() + asked.body)).serving() as wire,
        guard((wire.url,), rules()) as url,
        Line.to(int(url.rpartition(":")[2])) as line,
    ):
        for number in range(3):
            got = await line.ask(request("PUT", f"/v1/{number}", b"x"))
            assert got.body == b"/v1/%dx" % number
        line.writer.write(b"".join(request("POST", f"/v1/{n}", b"{}") for n in range(20)))
        for number in range(20):
            assert (await line.read()).body == b"/v1/%d{}" % number
    assert [one.method for one in wire.asked] == ["PUT"] * 3 + ["POST"] * 20


@pytest.mark.parametrize("keep", [False, True])
async def test_an_old_client_gets_no_chunks(keep: bool) -> None:
    sent = b"GET /v1/nodes HTTP/1.0\r\nHost: 127.0.0.1\r\n%s\r\n"
    async with Wire(chunked(b"[1,", b"2]")).serving() as wire, guard((wire.url,), rules()) as url:
        got = await ask(
            int(url.rpartition(":")[2]), sent % (b"Connection: keep-alive\r\n" if keep else b"")
        )
    assert (got.status, got.body) == (200, b"[1,2]")
    assert not got.header("transfer-encoding")


@pytest.mark.parametrize("continues", [False, True])
async def test_a_client_that_waits_to_be_told_to_go_on_is_told(continues: bool) -> None:
    """Its body is not sent before: neither waits for the other."""
    async with Wire(answer(b"[]")).serving() as wire, guard((wire.url,), rules()) as url:
        wire.continues = continues
        async with Line.to(int(url.rpartition(":")[2])) as line:
            sent = request("POST", f"{RD}", b"{}", "Expect: 100-continue")
            line.writer.write(sent.removesuffix(b"{}"))
            said = await line.reader.readuntil(b"\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 100 ")
            line.writer.write(b"{}")
            assert (await line.read()).body == b"[]"
    (asked,) = wire.asked
    assert (asked.method, asked.body) == ("POST", b"{}")
