# SPDX-License-Identifier: Apache-2.0
"""The devices probe with its real helper on files that stand for devices."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.clients.devices.client import DeviceClient
from tidegate.core.facts import OpenResult
from tidegate.core.snapshot import Liveness
from tidegate.probes import base, devices


class Rig:
    """A machine in a folder, a clock that the test turns, and the probe."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 10.0
        (root / "dev").mkdir()
        self.client = DeviceClient(root, limit=5.0)
        self.probe = devices.DevicesProbe(self.client, clock=lambda: self.now)

    def put(self, name: str, data: bytes = b"") -> None:
        (self.root / "dev" / name).write_bytes(data)

    async def look(
        self, urgency: base.Urgency = base.Urgency.FAST, **paths: str | None
    ) -> dict[str, OpenResult]:
        """Look at volumes ``name/0`` and return how opening each that was looked at went."""
        volumes = {f"{name}/0": path for name, path in paths.items()}
        seen = await self.probe.look(base.Need(volumes=volumes, urgency=urgency))
        assert seen.liveness is Liveness.UP
        assert seen.devices is not None
        return {volume: facts.opened for volume, facts in seen.devices.items()}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    await made.client.close()


XFS = b"XFSB" + bytes(4096)


async def test_what_a_device_is_and_carries(rig: Rig) -> None:
    rig.put("drbd1000", XFS)
    need = base.Need(volumes={"a/0": "/dev/drbd1000", "b/0": "/dev/drbd1001", "c/0": None})
    seen = await rig.probe.look(need)
    assert (seen.liveness, seen.trouble, seen.at) == (Liveness.UP, None, 10.0)
    assert seen.devices is not None
    assert set(seen.devices) == {"a/0", "b/0"}, "nobody knows where c is"
    a, b = seen.devices["a/0"], seen.devices["b/0"]
    assert (a.exists, a.is_device, a.opened, a.content) == (True, True, OpenResult.OPENED, "xfs")
    assert a.size == len(XFS)
    assert (b.exists, b.is_device, b.opened, b.errno) == (
        False,
        False,
        OpenResult.NOT_TRIED,
        "ENOENT",
    )


async def test_on_a_real_machine_a_file_is_no_device(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(XFS)
    async with DeviceClient(limit=5.0) as client:
        probe = devices.DevicesProbe(client, clock=lambda: 1.0)
        seen = await probe.look(base.Need(volumes={"a/0": str(path)}))
    assert seen.devices is not None
    assert not seen.devices["a/0"].is_device


async def test_a_device_that_opened_is_left_in_peace_for_a_while(rig: Rig) -> None:
    rig.put("d", XFS)
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.OPENED}
    rig.now += 1.0
    assert await rig.look(a="/dev/d") == {}
    rig.now += devices.AGAIN
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.OPENED}
    assert await rig.look(base.Urgency.REST, a="/dev/d") == {"a/0": OpenResult.OPENED}


async def test_a_device_that_is_not_there_yet_is_tried_at_every_look(rig: Rig) -> None:
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.NOT_TRIED}
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.NOT_TRIED}
    rig.put("d", XFS)
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.OPENED}


async def test_another_path_is_looked_at_at_once(rig: Rig) -> None:
    rig.put("d", XFS)
    rig.put("e", XFS)
    await rig.look(a="/dev/d")
    assert await rig.look(a="/dev/e") == {"a/0": OpenResult.OPENED}


async def test_nothing_wanted_is_an_answer_too(rig: Rig) -> None:
    assert await rig.look() == {}


async def test_a_device_that_hangs_is_said_to_and_does_not_hold_up_every_look(
    tmp_path: Path,
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "good").write_bytes(XFS)
    # Reading a regular file cannot hang; a helper that is not given the time to answer looks the same.
    async with DeviceClient(tmp_path, limit=0.0) as client:
        probe = devices.DevicesProbe(client, clock=lambda: 1.0)
        need = base.Need(volumes={"a/0": "/dev/good"})
        seen = await probe.look(need)
        again = await probe.look(need)
    assert seen.devices is not None
    assert seen.devices["a/0"].opened is OpenResult.TIMED_OUT
    assert again.devices == {}


async def test_a_helper_that_does_not_work_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = rig.root / "python"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    rig.put("d", XFS)
    seen = await rig.probe.look(base.Need(volumes={"a/0": "/dev/d"}))
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "device.helper"
    monkeypatch.undo()
    assert await rig.look(a="/dev/d") == {"a/0": OpenResult.OPENED}


async def test_at_rest_what_drbd_says_is_open_is_opened_in_turn_and_stays_confirmed(
    rig: Rig,
) -> None:
    """500 devices in use are not all opened every ten seconds; each is told of at every look, and opened every few."""
    names = [f"d{number:02}" for number in range(16)]
    for name in names:
        rig.put(name, XFS)
    volumes: dict[str, str | None] = {f"{name}/0": f"/dev/{name}" for name in names}
    held = frozenset(volumes) - {"d03/0"}
    rest = base.Need(volumes=volumes, held=held, urgency=base.Urgency.REST)
    first = await rig.probe.look(rest)
    assert first.devices is not None
    for name in names:
        (rig.root / "dev" / name).unlink()
    gone: list[set[str]] = []
    for _ in range(devices.IN_TURN):
        rig.now += 10.0
        seen = await rig.probe.look(rest)
        assert seen.devices is not None
        assert seen.devices.keys() == volumes.keys()
        gone.append({name for name, found in seen.devices.items() if not found.exists})
    assert all("d03/0" in names for names in gone), "nothing vouches for it"
    assert 1 < len(gone[0]) <= 1 + -(-len(held) // devices.IN_TURN)
    assert set().union(*gone) == set(volumes), "in the end each was opened"


async def test_at_rest_what_was_told_has_all_devices_opened(rig: Rig) -> None:
    rig.put("d", XFS)
    volumes: dict[str, str | None] = {"a/0": "/dev/d"}
    rest = base.Need(volumes=volumes, held=frozenset(volumes), urgency=base.Urgency.REST)
    for _ in range(2):
        await rig.probe.look(rest)
    (rig.root / "dev" / "d").unlink()
    seen = await rig.probe.look(
        base.Need(volumes=volumes, held=frozenset(volumes), urgency=base.Urgency.REST, told=True)
    )
    assert seen.devices is not None
    assert not seen.devices["a/0"].exists
