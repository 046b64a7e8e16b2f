# SPDX-License-Identifier: Apache-2.0
"""What is brought up before the satellite, and what is left to it with which sentence."""

from typing import Any

import msgspec
import pytest

from tidegate.bringup import decide
from tidegate.bringup.model import (
    Activate,
    Adjust,
    Device,
    Examine,
    FileState,
    KeptFile,
    KeptVolume,
    Left,
    LogicalVolume,
    Metadata,
    Seen,
)

DISK = "/dev/vg0/r_00000"
VOLUME = KeptVolume(number=0, minor=1002, disk=DISK)
FILE = KeptFile(path="/var/lib/linstor.d/r.res", resource="r", volumes=(VOLUME,), peers=("n2",))
SIZE = 1024 * 1024
LV = LogicalVolume(vg="vg0", name="r_00000", active=True, size=SIZE)
GOOD = Seen(
    wanted=frozenset({"r"}),
    module="9.3.3",
    volumes={DISK: LV},
    disks={DISK: SIZE},
    metadata={1002: Metadata(valid=True, agreed=SIZE - 65536)},
)


def seen(**changes: Any) -> Seen:
    return msgspec.structs.replace(GOOD, **changes)


def file(**changes: Any) -> KeptFile:
    return msgspec.structs.replace(FILE, **changes)


def on(**changes: Any) -> KeptFile:
    return file(volumes=(msgspec.structs.replace(VOLUME, **changes),))


def test_the_whole_way_up() -> None:
    asleep = msgspec.structs.replace(LV, active=False)
    start = seen(volumes={DISK: asleep}, disks={}, metadata={})
    assert decide.next_step(FILE, start) == Activate(volumes=("vg0/r_00000",))
    awake = msgspec.structs.replace(start, activated={DISK: ""}, disks={DISK: SIZE})
    assert decide.next_step(FILE, awake) == Examine(volumes=(VOLUME,))
    known = msgspec.structs.replace(awake, metadata=GOOD.metadata)
    assert decide.next_step(FILE, known) == Adjust(file=FILE.path)


def test_external_metadata_is_activated_too() -> None:
    meta = "/dev/ssd/r.meta_00000"
    asleep = LogicalVolume(vg="ssd", name="r.meta_00000", active=False, size=10)
    step = decide.next_step(on(meta_disk=meta), seen(volumes={DISK: LV, meta: asleep}))
    assert step == Activate(volumes=("ssd/r.meta_00000",))


def test_what_was_left_half_up_by_us_is_finished_and_nothing_else() -> None:
    half = seen(
        up=frozenset({"r"}),
        begun=frozenset({"r"}),
        devices={1002: Device(resource="r", attached=False)},
    )
    assert decide.next_step(FILE, half) == Adjust(file=FILE.path)
    unread = msgspec.structs.replace(half, metadata={})
    assert decide.next_step(FILE, unread) == Examine(volumes=(VOLUME,))
    attached = {1002: Device(resource="r", attached=True)}
    only_links = msgspec.structs.replace(unread, devices=attached)
    assert decide.next_step(FILE, only_links) == Adjust(file=FILE.path)
    theirs = msgspec.structs.replace(half, begun=frozenset())
    step = decide.next_step(FILE, theirs)
    assert isinstance(step, Left)
    assert step.code == "bringup.up"


def test_external_metadata_leaves_the_whole_disk_to_the_data() -> None:
    volume = on(meta_disk="/dev/ssd/r.meta_00000")
    meta = LogicalVolume(vg="ssd", name="r.meta_00000", active=True, size=10)
    at = seen(
        volumes={DISK: LV, "/dev/ssd/r.meta_00000": meta},
        disks={DISK: SIZE, "/dev/ssd/r.meta_00000": 10},
        metadata={1002: Metadata(valid=True, agreed=SIZE)},
    )
    assert decide.next_step(volume, at) == Adjust(file=FILE.path)


def test_what_is_diskless_on_purpose_needs_no_disk() -> None:
    assert decide.next_step(on(disk=None), seen(disks={}, metadata={})) == Adjust(file=FILE.path)


def test_a_zvol_is_there_or_not() -> None:
    zvol = "/dev/zvol/tank/r_00000"
    volume = on(disk=zvol)
    missing = decide.next_step(volume, seen(volumes=None))
    assert isinstance(missing, Left)
    assert (missing.code, missing.again) == ("bringup.disk-missing", True)
    assert "zpool is not imported" in missing.why
    assert decide.next_step(volume, seen(volumes=None, disks={zvol: SIZE})) == Adjust(
        file=FILE.path
    )


@pytest.mark.parametrize(
    ("kept", "at", "code", "words", "again"),
    [
        (FILE, seen(satellite=True), "satellite-runs", "the satellite runs already", False),
        (FILE, seen(up=None), "drbd-silent", "cannot be asked", True),
        (FILE, seen(up=frozenset({"r"})), "up", "up already", False),
        (FILE, seen(wanted=None), "no-map", "not known yet what is wanted", False),
        (FILE, seen(wanted=frozenset({"x"})), "not-wanted", "nothing that starts here", False),
        (file(state=FileState.EMPTY), GOOD, "file-empty", "holds no resource", False),
        (file(state=FileState.TORN, says="line 3"), GOOD, "file-torn", "line 3", False),
        (file(state=FileState.NOT_HERE), GOOD, "not-here", "nothing about this node", False),
        (file(state=FileState.FOREIGN), GOOD, "file-foreign", "not as LINSTOR writes", False),
        (on(disk="/dev/mapper/Linstor-Crypt-r_00000"), GOOD, "layer", "LUKS", False),
        (on(disk="/dev/loop7"), GOOD, "layer", "/dev/loop7", False),
        (FILE, seen(volumes=None), "lvm-silent", "LVM cannot be asked", True),
        (FILE, seen(volumes={}, disks={}), "disk-missing", "volume group", True),
        (FILE, seen(disks={}), "disk-missing", "device has not come", True),
        (
            FILE,
            seen(metadata={1002: Metadata(valid=False, says="No valid meta data found")}),
            "no-metadata",
            "No valid meta data found",
            False,
        ),
        (
            FILE,
            seen(metadata={1002: Metadata(valid=True, agreed=SIZE - 4096)}),
            "too-small",
            f"has {SIZE} bytes, and the nodes agreed upon {SIZE - 4096}",
            False,
        ),
        (
            FILE,
            seen(metadata={1002: Metadata(valid=False, busy=True, says="busy")}),
            "disk-busy",
            f"somebody holds {DISK}: busy",
            True,
        ),
        (FILE, seen(module=None), "no-module", "not loaded", True),
        (FILE, seen(module="8.4.11"), "old-module", "version 8.4.11, and LINSTOR needs 9", False),
        (FILE, seen(module="?"), "old-module", "version ?", False),
        (FILE, seen(reserved={"r": "LINSTOR was deleting it"}), "reserved", "was deleting", False),
        (
            FILE,
            seen(devices={1002: Device(resource="x", attached=True)}),
            "minor-taken",
            "its minor 1002 belongs to x, which is up",
            False,
        ),
        (file(proxy=True), GOOD, "layer", "DRBD Proxy", False),
        (
            FILE,
            seen(disks={}, activated={DISK: "pool is broken"}),
            "disk-missing",
            "could not be activated: pool is broken",
            True,
        ),
        (on(disk="/dev/md/data"), seen(disks={"/dev/md/data": SIZE}), "layer", "no logical", False),
        (on(disk="/dev/nvme1n1"), GOOD, "layer", "/dev/nvme1n1", False),
        (on(disk="/dev/bcache0"), GOOD, "layer", "/dev/bcache0", False),
        (on(disk="/dev/mapper/Linstor-WriteCache-r_00000"), GOOD, "layer", "a cache", False),
        (on(meta_disk="/dev/mapper/Linstor-Crypt-r.meta_00000"), GOOD, "layer", "LUKS", False),
    ],
)
def test_what_is_left_to_linstor(
    kept: KeptFile, at: Seen, code: str, words: str, again: bool
) -> None:
    step = decide.next_step(kept, at)
    assert isinstance(step, Left)
    assert (step.code, step.again) == (f"bringup.{code}", again)
    assert words in step.why


def test_everything_is_taken_when_configured_so() -> None:
    assert isinstance(decide.next_step(FILE, seen(wanted=None, everything=True)), Adjust)


def test_a_wanted_resource_without_file_is_named() -> None:
    found = decide.absent([FILE], seen(wanted=frozenset({"r", "gone"})))
    assert list(found) == ["gone"]
    assert "no file of it on this node" in found["gone"].why


def test_of_two_files_with_one_minor_neither_is_believed() -> None:
    other = KeptFile(path="/x/old.res", resource="old", volumes=(VOLUME,))
    third = KeptFile(
        path="/x/t.res", resource="t", volumes=(KeptVolume(number=0, minor=7, disk=DISK),)
    )
    found = decide.clashes([FILE, other, third])
    assert set(found) == {"r", "old"}
    assert "1002 is claimed by old too" in found["r"].why
