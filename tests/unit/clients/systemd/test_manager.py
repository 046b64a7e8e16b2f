# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import math
from pathlib import Path

import pytest
from tests.fake_systemd import Daemon, FakeSystemd

from tidegate.clients import errors
from tidegate.clients.systemd import manager
from tidegate.clients.systemd.manager import Hint, HintKind, Manager, ManagerState

pytestmark = pytest.mark.needs("dbus-daemon")


async def test_a_unit_with_all_that_we_ask(manage: Manager) -> None:
    unit = await manage.unit("incus.service")
    assert (unit.load_state, unit.active_state, unit.sub_state) == ("loaded", "inactive", "dead")
    assert (unit.result, unit.restarts, unit.main_pid) == ("success", 2, 290)
    assert unit.inactive_exit == pytest.approx(1.549)
    assert unit.active_enter is None
    assert unit.exec_main_start == pytest.approx(1.6)
    assert unit.timeout_start == 600
    assert unit.environment == ("LS_CONTROLLERS=10.0.0.1:3370",)
    assert unit.environment_files == (("/etc/default/incus", False), ("/etc/environment", True))
    assert unit.drop_ins == ("/etc/systemd/system/incus.service.d/60-tidegate-gate.conf",)
    assert unit.type == "simple"
    assert unit.job is None


async def test_no_limit_is_infinity_and_a_job_shows(manage: Manager, systemd: FakeSystemd) -> None:
    systemd.units["incus.service"]["TimeoutStartUSec"] = ("t", 2**64 - 1)
    systemd.units["incus.service"]["Job"] = ("(uo)", (17, "/org/freedesktop/systemd1/job/17"))
    unit = await manage.unit("incus.service")
    assert unit.timeout_start == math.inf
    assert unit.job == 17


async def test_a_unit_that_does_not_exist_is_no_error(manage: Manager) -> None:
    unit = await manage.unit("none.service")
    assert unit.load_state == "not-found"


async def test_a_socket_has_no_service_fields(manage: Manager, systemd: FakeSystemd) -> None:
    systemd.units["incus.socket"] = {"LoadState": ("s", "loaded"), "ActiveState": ("s", "active")}
    unit = await manage.unit("incus.socket")
    assert (unit.active_state, unit.type, unit.timeout_start) == ("active", "", None)


async def test_the_state_of_the_system(manage: Manager, systemd: FakeSystemd) -> None:
    assert await manage.state() == ManagerState.RUNNING
    systemd.system_state = "stopping"
    assert await manage.state() == ManagerState.STOPPING
    systemd.system_state = "dreaming"
    assert await manage.state() == ManagerState.UNKNOWN


async def test_a_start_is_queued(manage: Manager, systemd: FakeSystemd) -> None:
    assert await manage.start_unit("incus.service") == "/org/freedesktop/systemd1/job/7"
    assert systemd.started == [("incus.service", "replace")]


async def test_unit_files_are_read_anew(manage: Manager, systemd: FakeSystemd) -> None:
    await manage.reload()
    assert systemd.reloads == 1
    systemd.refuses = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(errors.ClientError) as caught:
        await manage.reload()
    assert caught.value.code == "systemd.permission"


async def test_a_start_of_nothing(manage: Manager) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await manage.start_unit("none.service")
    assert caught.value.code == "systemd.no-such-unit"
    assert "none.service" in caught.value.trouble.text


async def test_who_may_not(manage: Manager, systemd: FakeSystemd) -> None:
    systemd.refuses = "org.freedesktop.DBus.Error.AccessDenied"
    with pytest.raises(errors.ClientError) as caught:
        await manage.start_unit("incus.service")
    assert caught.value.code == "systemd.permission"
    systemd.refuses = "org.freedesktop.systemd1.TransactionIsDestructive"
    with pytest.raises(errors.ClientError) as caught:
        await manage.start_unit("incus.service")
    assert caught.value.code == "systemd.error"


async def test_a_bus_without_systemd(daemon: Daemon) -> None:
    async with Manager(daemon.address, deadline=20) as manage:
        with pytest.raises(errors.ClientError) as caught:
            await manage.state()
    assert caught.value.code == "systemd.absent"


async def test_no_bus_at_all(tmp_path: Path) -> None:
    async with Manager(f"unix:path={tmp_path}/none") as manage:
        with pytest.raises(errors.ClientError) as caught:
            await manage.state()
    assert caught.value.code == "bus.no-socket"


async def test_a_systemd_that_hangs_costs_the_deadline(
    daemon: Daemon, systemd: FakeSystemd
) -> None:
    systemd.hangs = True
    async with Manager(daemon.address, deadline=0.2) as manage:
        with pytest.raises(errors.ClientError) as caught:
            await manage.state()
        assert caught.value.code == "bus.timeout"
        systemd.hangs = False
        assert await manage.state() == ManagerState.RUNNING


async def test_hints_begin_with_look_at_everything(manage: Manager, systemd: FakeSystemd) -> None:
    async with asyncio.timeout(20), contextlib.aclosing(manage.hints()) as hints:
        assert await anext(hints) == Hint(kind=HintKind.MISSED)
        assert systemd.subscribed
        systemd.change("incus.service", ActiveState=("s", "activating"))
        assert await anext(hints) == Hint(kind=HintKind.CHANGED, unit="incus.service")
        assert (await manage.unit("incus.service")).active_state == "activating"
        job = f"{manager.PATH}/job/7"
        systemd.tell("JobRemoved", "uoss", 7, job, "incus.service", "done")
        assert await anext(hints) == Hint(
            kind=HintKind.JOB_ENDED, unit="incus.service", result="done"
        )
        systemd.tell("UnitNew", "so", "a.service", systemd.path("a.service"))
        systemd.tell("UnitRemoved", "so", "a.service", systemd.path("a.service"))
        systemd.tell("Reloading", "b", True)
        systemd.tell("Reloading", "b", False)
        assert [await anext(hints) for _ in range(3)] == [
            Hint(kind=HintKind.APPEARED, unit="a.service"),
            Hint(kind=HintKind.VANISHED, unit="a.service"),
            Hint(kind=HintKind.RELOADED),
        ]


async def test_too_many_hints_become_look_at_everything(
    manage: Manager, systemd: FakeSystemd
) -> None:
    async with asyncio.timeout(20), contextlib.aclosing(manage.hints(size=5)) as hints:
        await anext(hints)
        for number in range(50):
            systemd.change("incus.service", NRestarts=("u", number))
        await manage.state()  # all of them are here now
        assert await anext(hints) == Hint(kind=HintKind.MISSED)
        systemd.change("incus.service", NRestarts=("u", 51))
        assert (await anext(hints)).kind == HintKind.CHANGED


async def test_a_lost_bus_ends_the_hints_and_is_found_again(
    manage: Manager, systemd: FakeSystemd, daemon: Daemon
) -> None:
    async with asyncio.timeout(30), contextlib.aclosing(manage.hints()) as hints:
        await anext(hints)
        await daemon.kill()
        with pytest.raises(errors.ClientError) as caught:
            await anext(hints)
        assert caught.value.code == "bus.lost"
        with pytest.raises(errors.ClientError):
            await manage.state()
        await daemon.start()
        await systemd.serve(daemon.address)
        assert await manage.state() == ManagerState.RUNNING


def test_names_of_object_paths() -> None:
    path = "/org/freedesktop/systemd1/unit/linstor_2dsatellite_2eservice"
    assert manager.unit_name(path) == "linstor-satellite.service"
    assert manager.unit_name("/org/freedesktop/systemd1/unit/dev_2dloop0_2edevice") == (
        "dev-loop0.device"
    )
