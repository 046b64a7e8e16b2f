# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

from tidegate.bringup.model import LogicalVolume
from tidegate.clients import errors, lvm


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def listing(*rows: tuple[str, str, str]) -> str:
    lv = [
        {"vg_name": "vg0", "lv_name": name, "lv_active": active, "lv_size": size}
        for name, active, size in rows
    ]
    return json.dumps({"report": [{"lv": lv}], "log": []})


async def test_the_volumes(tmp_path: Path) -> None:
    (tmp_path / "out").write_text(
        listing(
            ("c1_00000", "", "1073741824"), ("pool", "active", "5"), ("[lvol0_pmspare]", "", "1")
        )
    )
    lvs = program(tmp_path / "lvs", f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/out')
    found = await lvm.volumes(deadline=10, lvs=lvs)
    assert found == {
        "/dev/vg0/c1_00000": LogicalVolume(
            vg="vg0", name="c1_00000", active=False, size=1073741824
        ),
        "/dev/vg0/pool": LogicalVolume(vg="vg0", name="pool", active=True, size=5),
    }
    assert "--reportformat json" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("text", "code"),
    [("exit 5", "lvm.failed"), ("echo what", "lvm.garbage"), ("sleep 60", "lvm.timeout")],
)
async def test_what_goes_wrong(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(errors.ClientError) as failed:
        await lvm.volumes(deadline=0.5, lvs=program(tmp_path / "lvs", text))
    assert failed.value.code == code


async def test_a_sick_group_takes_the_others_not_along(tmp_path: Path) -> None:
    """As seen of the real one: it says what is wrong, exits 5, and lists what it could read."""
    (tmp_path / "out").write_text(listing(("c1_00000", "active", "5")))
    text = f'cat {tmp_path}/out; echo "Cannot process volume group sick" >&2; exit 5'
    found = await lvm.volumes(deadline=10, lvs=program(tmp_path / "lvs", text))
    assert list(found) == ["/dev/vg0/c1_00000"]
    (tmp_path / "out").write_text(listing())
    with pytest.raises(errors.ClientError) as failed:
        await lvm.volumes(deadline=10, lvs=program(tmp_path / "lvs", text))
    assert "sick" in failed.value.trouble.text


async def test_without_lvm() -> None:
    with pytest.raises(errors.ClientError) as failed:
        await lvm.volumes(deadline=5, lvs="lvs-not-here")
    assert failed.value.code == "lvm.no-tool"
    assert "install lvm2" in failed.value.trouble.hint


async def test_activation_does_not_skip_thin_snapshots(tmp_path: Path) -> None:
    lvchange = program(tmp_path / "lvchange", f'echo "$@" > {tmp_path}/asked')
    assert await lvm.activate("vg0/c1_00000", deadline=10, lvchange=lvchange) is None
    assert (tmp_path / "asked").read_text() == "-ay -K vg0/c1_00000\n"
    failing = program(tmp_path / "lvchange", "echo locked >&2; exit 5")
    trouble = await lvm.activate("vg0/c1_00000", deadline=10, lvchange=failing)
    assert trouble is not None
    assert trouble.code == "lvm.failed"
    assert "locked" in trouble.text
