# SPDX-License-Identifier: Apache-2.0
import asyncio
import socket
import uuid
from pathlib import Path

import jeepney
import pytest
from jeepney.low_level import Message
from tests.fake_systemd import Daemon

from tidegate.clients import errors
from tidegate.clients.systemd import bus

TARGET = jeepney.DBusAddress("/x", bus_name="org.tidegate.Test", interface="org.tidegate.Test")
RULE = bus.Rule(interface="org.tidegate.Test", path_namespace="/x")


def echo(message: Message) -> Message | None:
    if message.header.fields[jeepney.HeaderFields.member] == "Echo":
        return jeepney.new_method_return(message, "s", message.body)
    return None


@pytest.mark.needs("dbus-daemon")
async def test_call_and_answer(daemon: Daemon) -> None:
    server = await bus.connect(daemon.address, deadline=20, handler=echo)
    await server.request_name("org.tidegate.Test", deadline=20)
    client = await bus.connect(daemon.address, deadline=20)
    assert await client.call(TARGET, "Echo", "s", ("grüß",), deadline=20) == ("grüß",)
    big = "x" * 500_000
    assert await client.call(TARGET, "Echo", "s", (big,), deadline=20) == (big,)
    with pytest.raises(bus.BusError) as caught:
        await client.call(TARGET, "Nothing", deadline=20)
    assert caught.value.name == "org.freedesktop.DBus.Error.UnknownMethod"
    with pytest.raises(errors.ClientError) as taken:
        await client.request_name("org.tidegate.Test", deadline=20)
    assert taken.value.code == "bus.name"
    await client.close()
    await server.close()


@pytest.mark.needs("dbus-daemon")
async def test_calls_at_the_same_time_get_their_own_answers(daemon: Daemon) -> None:
    server = await bus.connect(daemon.address, deadline=20, handler=echo)
    await server.request_name("org.tidegate.Test", deadline=20)
    client = await bus.connect(daemon.address, deadline=20)
    words = [str(number) for number in range(200)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(client.call(TARGET, "Echo", "s", (word,), deadline=20))
            for word in words
        ]
    assert [task.result() for task in tasks] == [(word,) for word in words]
    await client.close()
    await server.close()


@pytest.mark.needs("dbus-daemon")
async def test_an_abstract_address(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, f"unix:abstract=tidegate-test-{uuid.uuid4()}")
    await daemon.start()
    try:
        client = await bus.connect(daemon.address, deadline=20)
        await client.close()
    finally:
        await daemon.kill()


@pytest.mark.needs("dbus-daemon")
async def test_a_lost_connection_wakes_everybody(daemon: Daemon) -> None:
    silent = await bus.connect(daemon.address, deadline=20, handler=_hang)
    await silent.request_name("org.tidegate.Test", deadline=20)
    client = await bus.connect(daemon.address, deadline=20)
    signals = await client.subscribe(RULE, deadline=20)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(_code(client.call(TARGET, "Echo", "s", ("x",), deadline=3600))),
            group.create_task(_code(signals.next())),
            group.create_task(_code(client.wait_lost())),
        ]
        await client.call(bus._BUS, "ListNames", deadline=20)  # the call above is on its way
        await daemon.kill()
    assert [task.result() for task in waiting] == ["bus.lost", "bus.lost", "bus.lost"]
    assert client.lost is not None
    with pytest.raises(errors.ClientError) as caught:
        await client.call(TARGET, "Echo", "s", ("x",), deadline=20)
    assert caught.value.code == "bus.lost"
    await client.close()
    await silent.close()


@pytest.mark.needs("dbus-daemon")
async def test_a_bus_that_takes_nothing_more_is_lost(daemon: Daemon) -> None:
    client = await bus.connect(daemon.address, deadline=20)
    async with asyncio.timeout(10):
        assert await _code(client.call(TARGET, "Echo", "s", ("x" * 8_000_000,), deadline=60)) == (
            "bus.lost"
        )
    await client.close()


async def _code(call: object) -> str:
    try:
        result = await call  # type: ignore[misc]
    except errors.ClientError as error:
        return error.code
    return str(result.code)


def _hang(message: Message) -> Message:
    nowhere = jeepney.DBusAddress("/", interface="org.tidegate.Nothing")
    return jeepney.new_signal(nowhere, "Nothing")


@pytest.mark.needs("dbus-daemon")
async def test_signals_that_do_not_fit_are_not_offered(daemon: Daemon) -> None:
    sender = await bus.connect(daemon.address, deadline=20)
    client = await bus.connect(daemon.address, deadline=20)
    signals = await client.subscribe(RULE, deadline=20)
    other = await client.subscribe(bus.Rule(interface="org.tidegate.Other"), deadline=20)
    sender.emit("/xyz", "org.tidegate.Test", "Far")
    sender.emit("/x/y", "org.tidegate.Test", "Near", "s", ("here",))
    async with asyncio.timeout(20):
        near = await signals.next()
    assert near is not None
    assert (near.member, near.path, near.body) == ("Near", "/x/y", ("here",))
    client.unsubscribe(signals)
    sender.emit("/x", "org.tidegate.Other", "Last")
    async with asyncio.timeout(20):
        last = await other.next()
    assert last is not None
    assert last.member == "Last"
    await client.close()
    await sender.close()


async def test_what_is_read_before_the_loss_is_not_lost() -> None:
    signals = bus.Signals((RULE,), 10)
    signals.offer(bus.Signal(path="/x", interface="org.tidegate.Test", member="One"))
    signals.end(errors.Trouble(code="bus.lost", text="gone"))
    one = await signals.next()
    assert one is not None
    with pytest.raises(errors.ClientError):
        await signals.next()


@pytest.mark.parametrize("address", ["", "tcp:host=127.0.0.1,port=1", "nonsense"])
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await bus.connect(address, deadline=1)
    assert caught.value.code == "bus.address"


async def test_a_bus_that_nobody_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "bus"))
    with pytest.raises(errors.ClientError) as caught:
        await bus.connect(f"unix:path={tmp_path}/bus", deadline=5)
    assert caught.value.code == "bus.refused"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"REJECTED EXTERNAL\r\n", "bus.lost"),
        (b"OK 0123\r\n" + b"?" * 100, "bus.lost"),
        (b"", "bus.timeout"),
    ],
)
async def test_what_is_no_bus(tmp_path: Path, answer: bytes, code: str) -> None:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "bus"))
    async with server:
        with pytest.raises(errors.ClientError) as caught:
            await bus.connect(f"unix:path={tmp_path}/bus", deadline=0.3)
        over.set()
    assert caught.value.code == code
