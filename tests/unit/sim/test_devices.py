"""A node's device files."""

import errno

from tidegate.sim import devices


def file(path: str = "/dev/drbd1000", **fields: object) -> devices.DeviceFile:
    plain = {"major": 147, "minor": 1000, "resource": "r", "volume": 0, "size_kib": 1024}
    return devices.DeviceFile(path=path, **{**plain, **fields})  # type: ignore[arg-type]


def test_files_appear_and_vanish_and_tell_so_once() -> None:
    tree = devices.DeviceTree("n1")
    told: list[str] = []
    tree.on_change = lambda what, one: told.append(f"{what} {one.path}")
    tree.appear(file())
    tree.appear(file())
    tree.vanish("/dev/drbd1000")
    tree.vanish("/dev/drbd1000")
    assert told == ["device-appears /dev/drbd1000", "device-vanishes /dev/drbd1000"]
    assert list(tree) == []


def test_what_is_not_there_is_enoent_and_so_is_an_empty_path() -> None:
    tree = devices.DeviceTree("n1")
    assert tree.open("/dev/drbd1000") == errno.ENOENT
    assert tree.open("") == errno.ENOENT


def test_a_link_leads_to_the_device() -> None:
    tree = devices.DeviceTree("n1")
    tree.appear(file(links=("/dev/drbd/by-res/r/0",)))
    tree.verdict = lambda one: errno.ENODATA if one.minor == 1000 else 0
    assert tree.open("/dev/drbd/by-res/r/0") == errno.ENODATA
    found = tree.find("/dev/drbd/by-res/r/0")
    assert found is not None
    assert found.path == "/dev/drbd1000"


def test_loop_devices_are_handed_out_from_the_lowest_free_one() -> None:
    tree = devices.DeviceTree("n1")
    tree.first_loop = 7
    tree.appear(file("/dev/loop7", major=devices.LOOP_MAJOR, minor=7))
    assert tree.free_loop() == 8


def test_every_errno_of_a_drbd_device_has_the_text_that_go_prints() -> None:
    assert devices.ERRNO_TEXT[errno.ENODATA] == "no data available"
    assert devices.ERRNO_TEXT[errno.EMEDIUMTYPE] == "wrong medium type"
    assert devices.ERRNO_TEXT[errno.ENOENT] == "no such file or directory"
