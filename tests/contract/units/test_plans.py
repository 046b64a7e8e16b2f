"""Hosts with our plans carried out, before real systemd: it loads every unit, finds no circle, complains of nothing of ours."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from tests import unit_trees

from tidegate.units import plan, render
from tidegate.units.host import Options, StoragePool, Strategy
from tidegate.units.tree import File, Link

POOL = StoragePool(name="files", provider="FILE_THIN", directory="/srv/my pools/%x")
MOUNT = {"/etc/systemd/system/srv.mount": "[Mount]\nWhat=/dev/vg/srv\nWhere=/srv\nType=xfs\n"}
ANCHORS = ("default.target", "incus.service", "tidegate-ready.service", "linstor-satellite.service")


def write(entries: dict[str, File | Link], root: Path) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to(
        "usr/lib"
    )  # as on every system of today; newer systemd looks nowhere else
    for path, entry in entries.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Link):
            place.symlink_to(entry.target)
        else:
            place.write_text(entry.text)


def complaints(root: Path) -> list[str]:
    """What systemd-analyze says, but for programs and manuals that an empty root does not have."""
    said = []
    for anchor in ANCHORS:
        done = subprocess.run(
            ["systemd-analyze", f"--root={root}", "verify", "--man=no", anchor],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "info", "LC_ALL": "C"},
        )
        said += (done.stdout + done.stderr).splitlines()
    return [line for line in said if "is not executable" not in line]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("packaging", unit_trees.PACKAGINGS)
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("options", [{}, {"policy": "fail-closed"}, {"timeout": 1200.0}])
def test_systemd_finds_nothing_wrong(
    packaging: str, strategy: Strategy, options: dict[str, object], tmp_path: Path
) -> None:
    host = unit_trees.host(packaging, MOUNT, storage_pools=(POOL,))
    found = plan.make(host, msgspec.convert({"strategy": strategy, **options}, Options))
    assert found.strategy is strategy
    entries = {
        **host.tree.entries,
        **{f"/usr/lib/systemd/system/{name}": File(text) for name, text in host.own_units.items()},
        **{path: File(text) for path, text in found.drop_ins.items()},
        **{path: Link(to) for path, to in found.enable.items()},
    }
    write(entries, tmp_path)
    assert complaints(tmp_path) == []


@pytest.mark.needs("systemd-analyze")
def test_a_circle_that_we_refuse_is_one_for_systemd(tmp_path: Path) -> None:
    files = {
        "/etc/systemd/system/linstor-satellite.service.d/x.conf": "[Unit]\nAfter=incus-startup.service\n"
    }
    host = unit_trees.host(files=files)
    assert [trouble.code for trouble in plan.make(host, Options()).refusals] == ["units.cycle"]
    wanted = {
        render.path("incus.service", "stop"): "[Unit]\nAfter=linstor-satellite.service\n",
        render.path("incus-startup.service", "x"): "[Unit]\nWants=incus.service\n",
    }
    write({**host.tree.entries, **{path: File(text) for path, text in wanted.items()}}, tmp_path)
    assert any("Found ordering cycle" in line for line in complaints(tmp_path))
