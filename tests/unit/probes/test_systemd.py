# SPDX-License-Identifier: Apache-2.0
"""Units as facts, and a systemd that is not there, lost, and back."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from tidegate.clients import clock, errors
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.core.snapshot import Liveness
from tidegate.core.trouble import Trouble
from tidegate.probes import base, systemd

NEED = base.Need()
NAMES = ("incus.service", "incus.socket")


def unit(
    name: str = "incus.service", active: str = "active", sub: str = "running", **more: object
) -> Unit:
    fields = {
        "name": name,
        "load_state": "loaded",
        "active_state": active,
        "sub_state": sub,
        **more,
    }
    return Unit(**fields)  # type: ignore[arg-type]


class FakeManager(Manager):
    """Answers from a table; what is an exception is raised, None hangs."""

    def __init__(self, units: Mapping[str, Unit | errors.ClientError | None]) -> None:
        super().__init__("unix:path=/nowhere")
        self.units = dict(units)

    async def unit(self, name: str) -> Unit:
        answer = self.units[name]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, errors.ClientError):
            raise answer
        assert answer is not None
        return answer


def failure(code: str) -> errors.ClientError:
    return errors.ClientError(Trouble(code=code, text="text"))


def probe(manager: Manager | None) -> systemd.SystemdProbe:
    return systemd.SystemdProbe(manager, units=NAMES, clock=clock.boottime)


async def test_every_unit_is_told() -> None:
    told: list[Mapping[str, Unit]] = []
    manager = FakeManager(
        {"incus.service": unit(restarts=2), "incus.socket": failure("systemd.no-such-unit")}
    )
    looked = systemd.SystemdProbe(manager, units=NAMES, clock=clock.boottime, on_units=told.append)
    seen = await looked.look(NEED)
    assert (seen.liveness, seen.trouble) == (Liveness.UP, None)
    assert seen.units is not None
    assert set(seen.units) == set(NAMES)
    service, socket = seen.units["incus.service"], seen.units["incus.socket"]
    assert (service.is_installed, service.active_state, service.restarts) == (True, "active", 2)
    assert not socket.is_installed
    assert told == [{"incus.service": unit(restarts=2), "incus.socket": told[0]["incus.socket"]}]


async def test_without_systemd_it_is_off() -> None:
    assert (await probe(None).look(NEED)).liveness is Liveness.OFF
    absent = FakeManager(dict.fromkeys(NAMES, failure("systemd.absent")))
    seen = await probe(absent).look(NEED)
    assert (seen.liveness, seen.units) == (Liveness.OFF, None)


async def test_half_an_answer_is_none_and_then_it_is_back() -> None:
    manager = FakeManager({"incus.service": unit(), "incus.socket": failure("bus.timeout")})
    looked = probe(manager)
    seen = await looked.look(NEED)
    assert (seen.liveness, seen.units) == (Liveness.LOST, None)
    assert seen.trouble is not None
    assert seen.trouble.code == "bus.timeout"
    manager.units["incus.socket"] = unit("incus.socket", sub="listening")
    assert (await looked.look(NEED)).liveness is Liveness.UP


async def test_a_bus_that_is_not_there(tmp_path: Path) -> None:
    async with Manager(f"unix:path={tmp_path}/bus", deadline=1.0) as manager:
        seen = await probe(manager).look(NEED)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "bus.no-socket"


async def test_a_bus_that_never_answers_is_lost_within_its_deadline(tmp_path: Path) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(mute, tmp_path / "bus")
    async with server, Manager(f"unix:path={tmp_path}/bus", deadline=0.2) as manager:
        seen = await probe(manager).look(NEED)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "bus.timeout"


async def test_a_unit_can_be_asked_for_at_this_moment() -> None:
    manager = FakeManager({"incus.service": unit(active="inactive", sub="dead")})
    ask = systemd.asker(manager, "incus.service", clock=clock.boottime)
    assert (await ask()).active_state == "inactive"
    manager.units["incus.service"] = failure("bus.lost")
    with pytest.raises(errors.ClientError, match=r"bus\.lost"):
        await ask()


def test_times_are_seconds_since_boot() -> None:
    running = systemd.facts(
        unit(active_enter=10.0, inactive_enter=4.0, active_exit=3.0), shift=100.0
    )
    assert (running.active_since, running.inactive_since) == (110.0, 104.0)
    stopped = systemd.facts(unit(active="inactive", active_enter=10.0, active_exit=20.0), shift=0.0)
    assert (stopped.active_since, stopped.inactive_since) == (None, 20.0)
    never = systemd.facts(unit(active="inactive", sub="dead"), shift=5.0)
    assert (never.active_since, never.inactive_since, never.result) == (None, None, "success")


def test_the_environment_of_a_service(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("# x\nLS_CONTROLLERS=from-file\nB='b b'\n")
    (tmp_path / "b.env").write_text("B=later\n")
    found = systemd.variables(
        unit(
            environment=("LS_CONTROLLERS=from-unit", "LS_USERNAME=u"),
            environment_files=((f"{tmp_path}/*.env", False), (f"{tmp_path}/missing", True)),
        )
    )
    assert found == {"LS_CONTROLLERS": "from-file", "LS_USERNAME": "u", "B": "later"}
