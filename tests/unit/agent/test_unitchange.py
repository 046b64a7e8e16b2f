# SPDX-License-Identifier: Apache-2.0
"""Unit files on behalf of the guard and of tuning: written, kept over other plans, and taken back to the last byte."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests import unit_trees
from tests.contract.units.test_apply import host_root, state

from tidegate.actuators import dropins
from tidegate.agent import unitchange, unitdrift, unitview
from tidegate.cli import main
from tidegate.config.model import Config
from tidegate.units import plan
from tidegate.units.deadlock import Controller, Place
from tidegate.units.host import Addition, GuardAccess, Options, StoragePool, Strategy

ACCESS = GuardAccess(controllers=("http://192.0.2.1:3370",))
TUNED = Addition(
    unit="linstor-satellite.service",
    topic="tune",
    why="Less memory.",
    sections={"Service": ("Environment=JAVA_OPTS=-Xms32M",)},
)
GUARD = "etc/systemd/system/incus.service.d/60-tidegate-guard.conf"
GATE = "etc/systemd/system/incus.service.d/60-tidegate-gate.conf"
READY = "etc/systemd/system/tidegate-agent.service.wants/tidegate-ready.service"
SOCKET = "etc/systemd/system/sockets.target.wants/tidegate-guard.socket"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return host_root("debian", tmp_path)


async def order(root: Path, options: Options) -> None:
    """`tidegate units apply`."""
    view = await unitview.look(root, Config(), Place.OTHER_HOST)
    dropins.apply(root, plan.make(view, options), options, Place.OTHER_HOST)


async def test_the_guard_alone_leaves_the_order_of_the_boot_alone(root: Path) -> None:
    before = state(root)
    done = await unitchange.enable_guard(root, Config(), ACCESS)
    assert done.changed
    listed = (root / GUARD).with_suffix(".env").read_text()
    assert "LS_CONTROLLERS=http://127.0.0.1:13370,http://192.0.2.1:3370\n" in listed
    assert (root / SOCKET).is_symlink()
    assert not (root / GATE).exists()
    assert not (await unitchange.enable_guard(root, Config(), ACCESS)).changed
    assert (await unitchange.disable_guard(root, Config())).changed
    assert state(root) == before
    assert not (await unitchange.disable_guard(root, Config())).changed


async def test_the_guard_takes_the_gates_place_and_gives_it_back(root: Path) -> None:
    await order(root, Options(timeout=120.0))
    before = state(root)
    assert (root / READY).is_symlink()
    assert (await unitchange.enable_guard(root, Config(), ACCESS)).changed
    assert (root / GUARD).exists()
    assert not (root / GATE).exists()
    assert not (root / READY).is_symlink()
    assert (await unitchange.disable_guard(root, Config())).changed
    assert state(root) == before


async def test_drop_ins_of_tuning_come_and_go_beside_the_guard(root: Path) -> None:
    before = state(root)
    tuned = root / "etc/systemd/system/linstor-satellite.service.d/60-tidegate-tune.conf"
    assert (await unitchange.add(root, Config(), [TUNED])).paths == (
        "/etc/systemd/system/linstor-satellite.service.d/60-tidegate-tune.conf",
    )
    await unitchange.enable_guard(root, Config(), ACCESS)
    assert tuned.exists()
    assert (await unitchange.drop(root, Config(), ["tune"])).changed
    assert not tuned.exists()
    assert (root / GUARD).exists()
    await unitchange.disable_guard(root, Config())
    assert state(root) == before


async def test_devices_first_is_enabled_beside_all_else_and_taken_back(root: Path) -> None:
    await order(root, Options(timeout=120.0))
    before = state(root)
    wants = "etc/systemd/system/linstor-satellite.service.wants/tidegate-devices.service"
    assert (await unitchange.set_devices(root, Config(), enabled=True)).changed
    assert (root / wants).is_symlink()
    assert (root / GATE).exists()
    assert not (await unitchange.set_devices(root, Config(), enabled=True)).changed
    assert (await unitchange.set_devices(root, Config(), enabled=False)).changed
    assert state(root) == before


async def test_devices_first_alone(root: Path) -> None:
    before = state(root)
    done = await unitchange.set_devices(root, Config(), enabled=True)
    assert done.paths == (
        "/etc/systemd/system/linstor-satellite.service.wants/tidegate-devices.service",
    )
    await unitchange.set_devices(root, Config(), enabled=False)
    assert state(root) == before


async def test_a_later_order_of_the_boot_keeps_them(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await unitchange.add(root, Config(), [TUNED])
    tuned = root / "etc/systemd/system/linstor-satellite.service.d/60-tidegate-tune.conf"
    record = dropins.load(root)
    assert record is not None
    assert not record.options.order
    await order(root, Options(additions=record.options.additions))
    assert tuned.exists()
    assert (root / GATE).exists()
    assert (await unitchange.drop(root, Config(), ["tune"])).changed
    assert (root / GATE).exists()
    assert main.main(["units", "remove", "--root", str(root)]) == 0
    assert "removed" in capsys.readouterr().out


async def test_who_removes_everything_is_told_of_the_guard(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(root)
    await unitchange.enable_guard(root, Config(), ACCESS)
    remove = ["units", "remove", "--root", str(root)]
    assert await asyncio.to_thread(main.main, remove) == 0
    assert "`tidegate guard disable`" in capsys.readouterr().err
    assert state(root) == before


async def test_without_our_units_nothing_is_written(root: Path) -> None:
    for name in unit_trees.own_units():
        (root / "usr/lib/systemd/system" / name).unlink()
    before = state(root)
    done = await unitchange.enable_guard(root, Config(), ACCESS)
    assert {one.code for one in done.refusals} == {"units.not-installed"}
    assert state(root) == before


async def test_what_cannot_be_asked_for_is_taken_as_it_was_kept(root: Path) -> None:
    """LINSTOR and Incus are away while something else is changed: mounts stay required, and the strategy is not turned round."""
    (root / "etc/systemd/system/srv-pool.mount").write_text(
        "[Mount]\nWhat=/dev/sdb\nWhere=/srv/pool\n"
    )
    pool = StoragePool(name="p", provider="FILE_THIN", directory="/srv/pool/p")
    inside = Controller(place=Place.INSTANCE_HERE, instance="default/ctl")
    view = await unitview.look(root, Config())
    view = msgspec.structs.replace(view, storage_pools=(pool,), controller=inside)
    options = Options()
    assert dropins.apply(root, plan.make(view, options), options)
    before = state(root)
    again = await unitview.look(root, Config())
    assert (again.storage_pools, again.controller) == ((pool,), inside)
    made = plan.make(again, options)
    assert (made.strategy, made.changes) == (Strategy.GUARD, ())
    assert any("taken as last known" in reason for reason in made.reasons)
    assert not dropins.apply(root, made, options)
    await unitchange.add(root, Config(), [TUNED])
    satellite = root / "etc/systemd/system/linstor-satellite.service.d/60-tidegate-satellite.conf"
    assert "RequiresMountsFor=/srv/pool/p\n" in satellite.read_text()
    await unitchange.drop(root, Config(), ["tune"])
    assert state(root) == before
    assert (await unitdrift.look(root, Config())).troubles == ()
