"""The face as a program, as the boot lab runs it: control socket, acknowledgements, state file."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import pytest
from tests import linstor_worlds as worlds
from tests import recordings

from tidegate.sim.faces import linstor_control

SOURCE = recordings.ROOT / "src"
SOON = 10.0
ALMOST_AT_ONCE = 0.2
Json = dict[str, Any]


class Line:
    """One connection to the control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, path: Path) -> Self:
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, **request: object) -> None:
        self.writer.write(json.dumps(request).encode() + b"\n")

    async def receive(self) -> Json:
        async with asyncio.timeout(SOON):
            got: Json = json.loads(await self.reader.readline())
        return got

    async def ask(self, **request: object) -> Json:
        self.send(**request)
        return await self.receive()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def words(directory: Path, *more: str) -> list[str]:
    found = ["--listen", "127.0.0.1:0", "--control", str(directory / "control")]
    return [*found, "--state", str(directory / "state.json"), *more]


@asynccontextmanager
async def program(directory: Path, *more: str) -> AsyncIterator[tuple[Line, str]]:
    """The program in this process; a control connection to it, and its URL."""
    ready: asyncio.Queue[str] = asyncio.Queue()
    args = linstor_control.arguments(words(directory, *more))
    async with asyncio.TaskGroup() as group:
        group.create_task(linstor_control.run(args, ready.put_nowait))
        async with asyncio.timeout(SOON):
            url = await ready.get()
        line = await Line.open(directory / "control")
        try:
            yield line, url
        finally:
            line.send(op="quit")
            await line.writer.drain()
        await line.close()


async def create(session: aiohttp.ClientSession, name: str) -> int:
    """Create a volume as Incus does."""
    group = {"name": "remote", "select_filter": {"place_count": 2}}
    async with session.post("/v1/resource-groups", json=group) as got:
        assert got.status in (201, 500), "the second time it exists"
    spawn = {"resource_definition_name": name, "volume_sizes": [8192], "definitions_only": True}
    async with session.post("/v1/resource-groups/remote/spawn", json=spawn) as got:
        assert got.status == 201
    body = {"override_props": worlds.props(name)}
    async with session.put(f"/v1/resource-definitions/{name}", json=body) as got:
        assert got.status == 200
    place = f"/v1/resource-definitions/{name}/autoplace"
    async with session.post(place, json={"select_filter": {}}) as got:
        return got.status


async def device_of(session: aiohttp.ClientSession, name: str) -> str:
    async with session.get(f"/v1/resource-definitions/{name}/resources/n1/volumes") as got:
        path: str = (await got.json())[0]["device_path"]
        return path


async def status_of(session: aiohttp.ClientSession, name: str = "n1") -> str:
    async with session.get(f"/v1/nodes/{name}") as got:
        text: str = (await got.json())["connection_status"]
        return text


async def test_a_volume_is_answered_when_the_lab_has_made_disk_and_device_file(
    tmp_path: Path,
) -> None:
    async with program(tmp_path) as (_, url), aiohttp.ClientSession(url) as session:
        lab = await Line.open(line_path(tmp_path))
        assert (await lab.ask(op="subscribe", acks=True))["ok"]
        async with asyncio.TaskGroup() as group:
            making = group.create_task(create(session, "a"))
            for wanted in ("volume-created", "device-appears"):
                event = await lab.receive()
                while not event.get("ack"):
                    event = await lab.receive()
                assert (event["event"], event["resource"], event["minor"]) == (wanted, "a", 1000)
                done, _ = await asyncio.wait([making], timeout=ALMOST_AT_ONCE)
                assert not done, f"answered before {wanted} was acknowledged"
                lab.send(op="ack", id=event["id"])
            assert await making == 201
        assert await device_of(session, "a") == "/dev/drbd1000"
        await lab.close()


def line_path(directory: Path) -> Path:
    return directory / "control"


async def test_a_lab_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    async with program(tmp_path) as (_, url), aiohttp.ClientSession(url) as session:
        lab = await Line.open(line_path(tmp_path))
        await lab.ask(op="subscribe", acks=True)
        async with asyncio.TaskGroup() as group:
            making = group.create_task(create(session, "a"))
            while (await lab.receive())["event"] != "volume-created":
                pass
            await lab.close()
            async with asyncio.timeout(SOON):
                assert await making == 201


async def test_a_boot_counts_its_faults_from_its_own_zero(tmp_path: Path) -> None:
    async with program(tmp_path, "--scale", "50") as (line, url):  # noqa: SIM117 - the URL first
        async with aiohttp.ClientSession(url) as session:
            assert await create(session, "a") == 201
            lab = await Line.open(line_path(tmp_path))
            await lab.ask(op="subscribe")
            present = await lab.receive()
            assert (present["event"], present["current"]) == ("device-appears", True)
            fault = {"kind": "node-offline", "subject": "n1", "start": 0, "end": 20}
            assert (await line.ask(op="boot", faults=[fault]))["now"] < 5
            assert await status_of(session) == "OFFLINE"
            heard: list[tuple[str, float]] = []
            while not heard or heard[-1] != ("device-appears", 20.0):
                event = await lab.receive()
                heard.append((event["event"], event["at"]))
            kinds = [kind for kind, _ in heard]
            assert kinds.index("device-vanishes") < kinds.index("device-appears")
            assert await status_of(session) == "ONLINE"
            await lab.close()


async def test_faults_can_be_set_and_cleared_while_it_runs(tmp_path: Path) -> None:
    async with program(tmp_path) as (line, url), aiohttp.ClientSession(url) as session:
        assert (await line.ask(op="fault", kind="node-offline", subject="n1"))["ok"]
        assert await status_of(session) == "OFFLINE"
        assert (await line.ask(op="clear", kind="node-offline"))["ok"]
        assert await status_of(session) == "ONLINE"
        dumped = await line.ask(op="dump")
        assert dumped["nodes"]["n1"]["status"] == "ONLINE"
        assert dumped["requests"] == ["GET /v1/nodes/n1"] * 2


async def test_a_halted_machine_has_no_devices(tmp_path: Path) -> None:
    async with program(tmp_path) as (line, url), aiohttp.ClientSession(url) as session:
        await create(session, "a")
        assert len((await line.ask(op="dump"))["devices"]) == 1
        await line.ask(op="halt")
        assert (await line.ask(op="dump"))["devices"] == []
        assert await status_of(session) == "OFFLINE"


async def test_what_was_in_use_when_the_node_went_down_is_copied_at_its_next_start(
    tmp_path: Path,
) -> None:
    async with program(tmp_path) as (line, url), aiohttp.ClientSession(url) as session:
        await create(session, "a")
        await line.ask(op="halt")
        assert not (await line.ask(op="crashed", resources=["b"], resync=600))["ok"]
        assert (await line.ask(op="crashed", resources=["a"], resync=600))["ok"]
        await line.ask(op="boot")
        (one,) = json.loads((await line.ask(op="drbd", what="status"))["text"])
        assert one["devices"][0]["disk-state"] == "Outdated", "it is copied from its peer first"


async def test_drbdsetup_can_be_asked_for(tmp_path: Path) -> None:
    async with program(tmp_path) as (line, url), aiohttp.ClientSession(url) as session:
        await create(session, "a")
        status = json.loads((await line.ask(op="drbd", what="status"))["text"])
        assert (status[0]["name"], status[0]["devices"][0]["disk-state"]) == ("a", "UpToDate")
        events = (await line.ask(op="drbd", what="events2"))["text"]
        assert events.endswith("exists -\n")
        await line.ask(op="primary", resource="a")
        events = (await line.ask(op="drbd", what="events2"))["text"]
        assert "exists resource name:a role:Primary " in events
        show = json.loads((await line.ask(op="drbd", what="show"))["text"])
        assert show == [{"resource": "a", "options": {"quorum": "off"}}]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"op": "nonsense"}, "unknown op 'nonsense'; known: ack, boot, clear"),
        ({"op": "fault", "kind": "nonsense"}, "Invalid enum value 'nonsense'"),
        ({"op": "fault", "kind": "node-offline", "ends": 5}, "unknown field `ends`"),
        ({"op": "ack"}, "ack: KeyError('id')"),
    ],
)
async def test_a_wrong_order_is_one_line_that_says_what(
    tmp_path: Path, request_: Json, text: str
) -> None:
    async with program(tmp_path) as (line, _):
        got = await line.ask(**request_)
        assert not got["ok"]
        assert text in got["error"]


async def test_the_state_file_carries_definitions_and_minors_to_the_next_run(
    tmp_path: Path,
) -> None:
    async with program(tmp_path) as (_, url), aiohttp.ClientSession(url) as session:
        await create(session, "a")
        await create(session, "b")
        async with session.delete("/v1/resource-definitions/a") as got:
            assert got.status == 200
    async with program(tmp_path) as (_, url), aiohttp.ClientSession(url) as session:
        assert await device_of(session, "b") == "/dev/drbd1001"
        path = "/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dincus-volume-b"
        async with session.get(path) as got:
            assert [d["name"] for d in await got.json()] == ["b"]
        assert await create(session, "c") == 201
        assert await device_of(session, "c") == "/dev/drbd1000"


async def test_a_layout_can_be_given(tmp_path: Path) -> None:
    layout = tmp_path / "layout.json"
    layout.write_bytes(msgspec.json.encode(worlds.layout(2)))
    given = program(tmp_path, "--layout", str(layout))
    async with given as (_, url), aiohttp.ClientSession(url) as session:
        assert await device_of(session, "r1") == "/dev/drbd1001"


async def test_it_runs_as_a_process_and_ends_with_sigterm(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidegate.sim.faces.linstor_http",
        *words(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SOON):
            said = (await process.stdout.readline()).decode().split()
            assert said[0] == "listening"
            async with aiohttp.ClientSession(said[1]) as session:
                assert await create(session, "a") == 201
            process.terminate()
            assert await process.wait() == 0
        assert json.loads((tmp_path / "state.json").read_text())["definitions"]["a"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
