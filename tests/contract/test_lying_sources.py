# SPDX-License-Identifier: Apache-2.0
"""Sources that hang, crawl, talk garbage or lie, each over a real socket or a real program: the report stays honest and in time.

Everything else about the node is well in these tests, so that whatever is not ready is so because of the one source.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests import health_facts as facts
from tests.fake_systemd import Daemon, FakeSystemd
from tests.health_facts import RD, VOL
from tests.unit.clients import faults

from tidegate.clients.devices.client import DeviceClient
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.clients.systemd.follow import Journal
from tidegate.clients.systemd.manager import Manager
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import OpenResult
from tidegate.core.finding import Report
from tidegate.core.snapshot import Observation, apply
from tidegate.health.judge import judge
from tidegate.probes import base
from tidegate.probes.devices import DevicesProbe
from tidegate.probes.drbd import DrbdProbe
from tidegate.probes.incus import IncusProbe
from tidegate.probes.journal import JournalProbe, Told
from tidegate.probes.linstor import LinstorProbe
from tidegate.probes.systemd import SystemdProbe

NOW = 1000.0
DEADLINE = 0.4
"""Seconds the clients allow a call here."""
NEED = base.Need(resources=(RD,), volumes={str(VOL): f"/dev/drbd{facts.MINOR}"})
HTTP = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def now() -> float:
    return NOW


async def seen_in_time(look: Awaitable[Observation], limit: float = 3.0) -> Observation:
    began = time.monotonic()
    seen = await look
    assert time.monotonic() - began < limit
    return seen


def judged(seen: Observation) -> Report:
    """The report on a node that is well, but for what ``seen`` says."""
    return judge(apply(facts.world(at=NOW), seen), HealthPolicy())


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


async def _hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _crawl(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever: no call may be kept alive by that."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HTTP.encode() + b"Content-Length: 100000\r\n\r\n[")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


BROKEN: dict[str, faults.Handler] = {
    "hangs": _hang,
    "crawls": _crawl,
    "garbage": faults.answer(*faults.http(200, b"\xff\xfe{{{")),
    "html": faults.answer(*faults.http(200, "<html>It works</html>", "text/html")),
    "nested": faults.answer(*faults.http(200, b"[" * 50_000)),
    "other-json": faults.answer(*faults.http(200, '{"version": {"a": 1}}')),
    "empty": faults.answer(*faults.http(200, "{}")),
    "cut": faults.answer(HTTP.encode() + b"Content-Length: 500\r\n\r\n{", then="reset"),
    "500": faults.answer(*faults.http(500, "boom", "text/plain")),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_controller(fault: str) -> None:
    async with faults.serve(BROKEN[fault]) as port:
        client = LinstorClient(
            Endpoints(urls=(f"http://127.0.0.1:{port}",)), connect_limit=DEADLINE
        )
        probe = LinstorProbe(client, node=facts.N1, clock=now, deadline=DEADLINE)
        seen = await seen_in_time(probe.look(NEED))
        await client.aclose()
    report = judged(seen)
    (about,) = report.about(ids.CONTROLLER)
    assert not report.ready(ids.CONTROLLER)
    assert about.code.startswith("controller.")
    assert f":{port}" in about.observed, "who was asked is said"
    assert about.remedy
    assert report.ready(ids.volume(VOL)), "the kernel and the device say that it is good"
    assert "volume.on-local-truth" in codes(report)


@pytest.mark.parametrize("fault", sorted(set(BROKEN) - {"empty"}))
async def test_incus(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "incus.socket"
    server = await asyncio.start_unix_server(_closing(BROKEN[fault]), str(path))
    async with IncusClient(path, deadline=DEADLINE) as client:
        probe = IncusProbe(client, unit=None, clock=now, deadline=DEADLINE)
        seen = await seen_in_time(probe.look(NEED))
    server.close()
    report = judged(seen)
    assert not report.ready(ids.INCUS)
    (about, *_) = report.about(ids.INCUS)
    assert about.code.startswith(("incus.", "source."))
    assert about.remedy


def _closing(handler: faults.Handler) -> Callable[..., Awaitable[None]]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return guarded


PROGRAMS = {
    "hangs": "exec sleep 60",
    "crawls": "while :; do printf x; sleep 0.1; done",
    "garbage": "head -c 3000 /dev/urandom; echo",
    "floods": "exec yes 'exists resource name:r'",
    "fails": "echo 'Could not connect' >&2; exit 20",
    "nothing": "exit 0",
    "half": "echo 'exists resource name:r role:Secondary suspended:no'",
    "torn": "echo 'exists device name:nobody volume:0 minor:1 disk:UpToDate'; echo 'exists -'",
}


@pytest.mark.parametrize("fault", PROGRAMS)
async def test_drbdsetup(fault: str, tmp_path: Path) -> None:
    client = DrbdClient(
        drbdsetup=_program(tmp_path, PROGRAMS[fault]), module_file=None, deadline=DEADLINE
    )
    seen = await seen_in_time(DrbdProbe(client, clock=now).look(NEED), limit=6.0)
    report = judged(seen)
    lost = {one.code for one in report.about(ids.HOST)}
    assert lost == {"source.lost"}, "it is said, with the reason"
    assert report.about(ids.HOST)[0].remedy


@pytest.mark.parametrize("fault", PROGRAMS)
async def test_journalctl_only_explains(fault: str, tmp_path: Path) -> None:
    told = Told(satellite="s", incus="i", clock=now)
    journal = Journal((), journalctl=_program(tmp_path, PROGRAMS[fault]), deadline=DEADLINE)
    seen = await seen_in_time(JournalProbe(journal, told, clock=now).look(NEED), limit=6.0)
    assert judged(seen).findings == ()


@pytest.mark.needs("dbus-daemon")
@pytest.mark.parametrize("fault", ["hangs", "refuses", "dies"])
async def test_systemd(fault: str, tmp_path: Path) -> None:
    daemon, fake = Daemon(tmp_path, f"unix:path={tmp_path}/bus"), FakeSystemd()
    await daemon.start()
    await fake.serve(daemon.address)
    async with Manager(daemon.address, deadline=2 * DEADLINE) as manager:
        probe = SystemdProbe(
            manager, units=("incus.service", "linstor-satellite.service"), clock=now
        )
        assert (await probe.look(NEED)).units
        fake.hangs = fault == "hangs"
        fake.refuses = "org.freedesktop.DBus.Error.AccessDenied" if fault == "refuses" else None
        if fault == "dies":
            await daemon.kill()
        seen = await seen_in_time(probe.look(NEED), limit=8.0)
    await fake.close()
    await daemon.kill()
    report = judged(seen)
    assert {one.code for one in report.about(ids.HOST)} == {"source.lost"}
    assert "systemd" in report.about(ids.HOST)[0].observed
    assert report.ready(ids.volume(VOL)), "systemd only explains"


async def test_a_device_that_hangs(tmp_path: Path) -> None:
    """A pipe without a writer plays a device whose I/O is suspended: opening it does not come back."""
    import os

    os.mkfifo(tmp_path / "pipe")
    async with DeviceClient(limit=DEADLINE) as client:
        probe = DevicesProbe(client, clock=now)
        need = base.Need(volumes={str(VOL): str(tmp_path / "pipe")})
        seen = await seen_in_time(probe.look(need))
    assert seen.devices is not None
    assert seen.devices[str(VOL)].opened is not OpenResult.OPENED
    assert not judged(seen).ready(ids.volume(VOL))


# --- liars -----------------------------------------------------------------------------------


@pytest.fixture
async def liar() -> AsyncIterator[tuple[dict[str, Any], LinstorProbe]]:
    """A controller that answers what the test wants, quickly and in good form."""
    answers: dict[str, Any] = {
        "/v1/controller/version": {"version": "1.34.0", "rest_api_version": "1.28.0"},
        "/v1/nodes": [{"name": "n1", "connection_status": "ONLINE", "resource_layers": ["DRBD"]}],
        "/v1/view/storage-pools": [
            {
                "storage_pool_name": "thin",
                "node_name": "n1",
                "provider_kind": "LVM_THIN",
                "free_capacity": 900,
                "total_capacity": 1000,
            }
        ],
        "/v1/resource-definitions": [
            {
                "name": RD,
                "resource_group_name": facts.GROUP,
                "props": {"Aux/Incus/name": "incus-volume-c1", "Aux/Incus/type": "containers"},
            }
        ],
        f"/v1/resource-definitions/{RD}/resources": [],
    }

    async def handle(request: web.Request) -> web.Response:
        return web.Response(
            body=json.dumps(answers[request.path]).encode(), content_type="application/json"
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = LinstorClient(Endpoints(urls=(f"http://127.0.0.1:{runner.addresses[0][1]}",)))
    yield answers, LinstorProbe(client, node=facts.N1, clock=now, deadline=2.0)
    await client.aclose()
    await runner.cleanup()


def placed(path: str, minor: int) -> list[dict[str, Any]]:
    drbd = {
        "drbd_volumes": [
            {
                "drbd_volume_definition": {"volume_number": 0, "minor_number": minor},
                "device_path": path,
            }
        ],
        "promotion_score": 10102,
        "may_promote": True,
    }
    return [
        {
            "name": RD,
            "node_name": "n1",
            "props": {"StorPoolName": "thin"},
            "state": {"in_use": False},
            "layer_object": {"type": "DRBD", "drbd": drbd, "children": [{"type": "STORAGE"}]},
        }
    ]


async def test_a_path_that_is_not_this_volumes(liar: tuple[dict[str, Any], LinstorProbe]) -> None:
    answers, probe = liar
    answers[f"/v1/resource-definitions/{RD}/resources"] = placed("/dev/drbd7", 7)
    report = judged(await probe.look(NEED))
    assert report.ready(ids.volume(VOL)) is False
    assert codes(report) & {"device.not-looked", "device.wrong"}


async def test_online_and_good_though_the_kernel_says_no(
    liar: tuple[dict[str, Any], LinstorProbe],
) -> None:
    answers, probe = liar
    minor = facts.MINOR
    answers[f"/v1/resource-definitions/{RD}/resources"] = placed(f"/dev/drbd{minor}", minor)
    seen = await probe.look(NEED)
    bad = facts.drbd_resource(
        devices=(facts.drbd_device("Outdated"),), connections=(), promotion_score=0
    )
    snapshot = apply(facts.world(at=NOW, drbd={RD: bad}), seen)
    report = judge(snapshot, HealthPolicy())
    assert not report.ready(ids.volume(VOL))
    assert "volume.outdated" in codes(report)


def _program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)
