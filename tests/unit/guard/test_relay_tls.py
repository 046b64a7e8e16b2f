# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP from Incus, TLS to the controller: what is not as it should be is refused, and said in a word that tells which."""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from tests.unit.clients.controllers import Controller
from tests.unit.clients.test_linstor_tls import own_text, pem, server_side
from tests.unit.guard.test_relay import ME, call

from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.guard.admission import listening
from tidegate.guard.interface import PassAll
from tidegate.guard.relay import Guard


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def guard(to: Endpoints) -> AsyncIterator[tuple[str, Guard]]:
    made = listening("127.0.0.1:0")
    serves = Guard(PassAll(), to, ME, node="n1", clock=time.monotonic)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serves.serve([made], ready))
        await ready.wait()
        try:
            yield f"http://127.0.0.1:{made.getsockname()[1]}", serves
        finally:
            task.cancel()


async def test_a_controller_that_wants_a_certificate_gets_ours(ca: trustme.CA) -> None:
    async with Controller(server_side(ca.issue_cert("localhost"), ca)).running() as controller:
        to = Endpoints(
            urls=(controller.url,), ca_pem=pem(ca), **own_text(ca.issue_cert("tidegate"))
        )
        async with guard(to) as (url, _):
            status, body, _ = await call(f"{url}/v1/controller/version")
    assert status == 200
    assert b"version" in body


PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("fault", ["expired", "wrong host", "unknown CA", "client certificate"])
async def test_what_is_wrong_with_a_certificate_is_said(ca: trustme.CA, fault: str) -> None:
    certs = {
        "expired": lambda: ca.issue_cert(
            "localhost", not_before=PAST, not_after=PAST + dt.timedelta(days=1)
        ),
        "wrong host": lambda: ca.issue_cert("elsewhere.example"),
    }
    cert = certs.get(fault, lambda: ca.issue_cert("localhost"))()
    clients = ca if fault == "client certificate" else None
    trusted = trustme.CA() if fault == "unknown CA" else ca
    async with Controller(server_side(cert, clients)).running() as controller:
        to = Endpoints(urls=(controller.url,), ca_pem=pem(trusted))
        async with guard(to) as (url, serves):
            status, body, _ = await call(f"{url}/v1/nodes")
            told = serves.stats().trouble
    assert status == 503
    assert fault in body.decode()
    assert "controller.tls" in told, "the agent makes guard.certificate of it"
