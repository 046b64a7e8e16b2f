# SPDX-License-Identifier: Apache-2.0
"""Evidence of a device: there, the right one, open, carrying what it carried."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import MINOR, RD, VOL

from tidegate.core.facts import OpenResult
from tidegate.core.ids import VolumeId
from tidegate.health import device
from tidegate.health.device import Expected
from tidegate.health.opinion import Doubt

PATH = f"/dev/drbd{MINOR}"
LOOP: dict[str, Any] = {
    "path": "/dev/loop8",
    "rdev": (7, 8),
    "backing_file": f"/srv/pool/{RD}_00000.img",
}


def expected(**more: Any) -> Expected:
    base: dict[str, Any] = {
        "volume": VOL,
        "path": PATH,
        "is_drbd": True,
        "kernel_minor": MINOR,
        "linstor_minor": MINOR,
    }
    return Expected(**(base | more))


def on_loop(**more: Any) -> Expected:
    base = {"path": "/dev/loop8", "is_drbd": False, "kernel_minor": None, "linstor_minor": None}
    return expected(**(base | more))


def doubts(
    seen: dict[str, Any], right: Expected | None = None, *, coming_up: bool = True
) -> tuple[Doubt, ...]:
    return device.judge(
        facts.device(**seen), right or expected(), coming_up=coming_up, lasts=12.0, since=88.0
    )


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        ({}, expected()),
        ({}, expected(content="ext4")),
        ({"content": None}, expected(content=None)),
        ({}, expected(kernel_minor=None)),
        # The lab shows loop devices as /dev/drbdN, the demo regular files: then the name has to do.
        ({"rdev": (7, 3)}, expected()),
        ({"rdev": None}, expected()),
        ({"path": "/dev/drbd/by-res/x/0"}, expected()),
        (LOOP, on_loop()),
        (LOOP, on_loop(backing=f"/srv/pool/{RD}_00000.img")),
        (LOOP | {"backing_file": None}, on_loop()),
    ],
)
def test_good(seen: dict[str, Any], right: Expected) -> None:
    assert doubts(seen, right) == ()


@pytest.mark.parametrize(
    ("seen", "code", "waits"),
    [
        (
            {"exists": False, "errno": "ENOENT", "opened": OpenResult.NOT_TRIED},
            "device.node-missing",
            True,
        ),
        ({"opened": OpenResult.FAILED, "errno": "ENOENT"}, "device.missing", True),
        ({"opened": OpenResult.FAILED, "errno": "ENODATA"}, "device.no-data", True),
        ({"opened": OpenResult.FAILED, "errno": "EMEDIUMTYPE"}, "device.cannot-open", False),
        ({"opened": OpenResult.FAILED, "errno": "EIO"}, "device.cannot-open", False),
        ({"opened": OpenResult.FAILED}, "device.cannot-open", False),
        ({"exists": False, "errno": "EACCES"}, "device.cannot-open", False),
        ({"opened": OpenResult.TIMED_OUT}, "device.open-hangs", False),
        ({"opened": OpenResult.NOT_TRIED}, "device.not-looked", True),
        ({"is_device": False, "rdev": None}, "device.wrong", False),
        ({"rdev": (147, MINOR + 1)}, "device.wrong", False),
        ({"opened": OpenResult.TIMED_OUT, "is_device": False}, "device.open-hangs", False),
        ({"opened": OpenResult.FAILED, "errno": "EAGAIN"}, "device.cannot-open", True),
    ],
)
def test_bad(seen: dict[str, Any], code: str, waits: bool) -> None:
    (doubt,) = doubts(seen)
    assert (doubt.code, doubt.blocks, doubt.waiting) == (code, True, waits)


@pytest.mark.parametrize("errno", ["ENOENT", "ENODATA"])
def test_missing_and_empty_devices_are_waited_for_only_while_coming_up(errno: str) -> None:
    (doubt,) = doubts({"opened": OpenResult.FAILED, "errno": errno}, coming_up=False)
    assert not doubt.waiting
    assert "12 s" in doubt.observed


def test_a_path_that_leads_elsewhere_than_to_drbd_is_wrong() -> None:
    (doubt,) = doubts({"path": "/dev/loop3", "rdev": (7, 3)}, expected(path="/dev/loop3"))
    assert doubt.code == "device.wrong"


def test_another_layer_on_top_of_drbd_has_its_own_device() -> None:
    luks = {"path": "/dev/mapper/Linstor-Crypt-x", "rdev": (253, 4)}
    assert doubts(luks, expected(path=luks["path"], is_drbd=False)) == ()


def test_linstors_path_for_another_minor_is_wrong() -> None:
    (doubt,) = doubts({}, expected(kernel_minor=None, linstor_minor=MINOR + 5))
    assert doubt.code == "device.wrong"


@pytest.mark.parametrize(
    "backing",
    [
        "/srv/pool/man-n2_00000.img",
        f"/srv/pool/{RD}_00001.img",
        f"/srv/pool/{RD}_00000.img (deleted)",
    ],
)
def test_a_loop_device_that_became_anothers_is_wrong(backing: str) -> None:
    """facts/linstor-observed.md A6: a kept path named another resource's device."""
    (doubt,) = doubts(LOOP | {"backing_file": backing}, on_loop())
    assert (doubt.code, doubt.waiting) == ("device.wrong", True)
    assert backing in doubt.observed
    (doubt,) = doubts(LOOP | {"backing_file": backing}, on_loop(), coming_up=False)
    assert not doubt.waiting


def test_a_loop_device_to_which_nothing_is_attached_yet_is_not_ready() -> None:
    """It opens, and LINSTOR says that all is well (tests/data/linstor, case c8)."""
    detached = LOOP | {"backing_file": None, "size": 0, "content": "empty"}
    (doubt,) = doubts(detached, on_loop())
    assert (doubt.code, doubt.blocks, doubt.waiting) == ("device.no-data", True, True)


def test_a_look_at_an_older_path_is_no_evidence() -> None:
    right = expected(path="/dev/loop9", is_drbd=False, kernel_minor=None, linstor_minor=None)
    (doubt,) = doubts(LOOP, right)
    assert (doubt.code, doubt.waiting) == ("device.not-looked", True)


@pytest.mark.parametrize(
    ("before", "now", "is_filesystem", "code", "blocks"),
    [
        ("ext4", "zero", True, "device.empty", True),
        ("gpt", "zero", False, "device.empty", True),
        ("ext4", "xfs", True, "device.other-content", True),
        ("gpt", "dos", False, "device.content-changed", False),
        ("ext4", None, True, "device.content-unknown", False),
        ("ext4", "unknown", True, "device.other-content", True),
        ("gpt", "unknown", False, "device.content-changed", False),
        ("gpt", "empty", False, "device.no-data", True),
        ("unknown", "ext4", True, None, False),
        ("zero", "ext4", True, None, False),
        (None, "zero", True, "device.empty", True),
        (None, "zero", False, None, False),
        (None, "unknown", True, None, False),
    ],
)
def test_what_it_carried(
    before: str | None, now: str | None, is_filesystem: bool, code: str | None, blocks: bool
) -> None:
    """LINSTOR makes a lost volume of a file pool anew, empty, and says nothing (A5, A19)."""
    found = doubts({"content": now}, expected(content=before, is_filesystem=is_filesystem))
    assert [(doubt.code, doubt.blocks) for doubt in found] == ([(code, blocks)] if code else [])


def test_volume_one_of_a_machine_has_its_own_file() -> None:
    right = on_loop(volume=VolumeId(RD, 1))
    assert doubts(LOOP | {"backing_file": f"/srv/pool/{RD}_00001.img"}, right) == ()
