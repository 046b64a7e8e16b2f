# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from tidegate.clients import clock


def test_boot_time_is_that_of_the_kernel() -> None:
    btime = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime")
    )
    assert abs(clock.boot_time_wall() - btime) < 2


def test_boottime_goes_forward() -> None:
    assert clock.boottime() <= clock.boottime()


def test_boot_id_is_as_the_journal_writes_it(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("03995203-de48-4d82-aad7-f67997f48dc4\n")
    assert clock.boot_id(tmp_path / "id") == "03995203de484d82aad7f67997f48dc4"
    assert len(clock.boot_id()) == 32
