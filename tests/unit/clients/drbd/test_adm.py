# SPDX-License-Identifier: Apache-2.0
"""Kept files as the real drbdadm reads them, metadata as the real drbdmeta does: neither needs the kernel module."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.bringup.model import FileState, KeptFile, KeptVolume
from tidegate.clients.drbd.adm import DrbdAdm

RESOURCE = "incus-volume-339abc8c70f044228fba06e7bfe8579e"
KEPT = Path(__file__).parents[3] / "data" / "bringup" / f"{RESOURCE}.res"
LV = "/dev/vg0/339abc8c70f044228fba06e7bfe8579e_00000"
needs_drbdadm = pytest.mark.needs("drbdadm")


def adm(tmp_path: Path, node: str = "n1") -> DrbdAdm:
    return DrbdAdm(tmp_path / "run", node=node, root=tmp_path)


def written(tmp_path: Path, text: str, name: str = RESOURCE) -> Path:
    path = tmp_path / f"{name}.res"
    path.write_text(text)
    return path


@needs_drbdadm
async def test_a_file_as_linstor_writes_it(tmp_path: Path) -> None:
    read = await adm(tmp_path).read(KEPT)
    assert read == KeptFile(
        path=str(KEPT),
        resource=RESOURCE,
        volumes=(KeptVolume(number=0, minor=1002, disk=LV),),
        peers=("n2",),
    )


@needs_drbdadm
async def test_external_metadata_and_no_disk(tmp_path: Path) -> None:
    text = KEPT.read_text()
    external = text.replace("meta-disk   internal", "meta-disk   /dev/ssd/m_00000", 1)
    read = await adm(tmp_path).read(written(tmp_path, external))
    assert read.volumes[0].meta_disk == "/dev/ssd/m_00000"
    diskless = text.replace(f"disk        {LV}", "disk        none", 1)
    read = await adm(tmp_path).read(written(tmp_path, diskless))
    assert read.volumes[0].disk is None


@needs_drbdadm
@pytest.mark.parametrize(
    ("text", "name", "state", "says"),
    [
        ("", RESOURCE, FileState.EMPTY, ""),
        ("# only a comment\n", RESOURCE, FileState.EMPTY, ""),
        (KEPT.read_text()[:400], RESOURCE, FileState.TORN, "expected"),
        ("\x00" * 512, RESOURCE, FileState.TORN, ""),
        (KEPT.read_text(), "another", FileState.FOREIGN, RESOURCE),
        (KEPT.read_text().replace("n1", "n7"), RESOURCE, FileState.NOT_HERE, "n2, n7"),
    ],
    ids=["empty", "comment", "cut", "zeroes", "foreign", "elsewhere"],
)
async def test_a_file_that_is_no_good(
    tmp_path: Path, text: str, name: str, state: FileState, says: str
) -> None:
    read = await adm(tmp_path).read(written(tmp_path, text, name))
    assert read.state is state
    assert says in read.says
    assert read.volumes == ()


@needs_drbdadm
async def test_a_torn_file_beside_it_harms_nobody(tmp_path: Path) -> None:
    """drbdadm refuses every resource when one file that it includes is torn."""
    good = written(tmp_path, KEPT.read_text())
    written(tmp_path, "resource torn {", "torn")
    assert (await adm(tmp_path).read(good)).state is FileState.GOOD


async def test_without_the_program(tmp_path: Path) -> None:
    lacking = DrbdAdm(tmp_path / "run", node="n1", drbdadm="drbdadm-not-here", root=tmp_path)
    read = await lacking.read(KEPT)
    assert read.state is FileState.TORN
    assert "drbdadm-not-here" in read.says


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A loop device of 64 MiB."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    found = subprocess.run(
        ["losetup", "-f", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    yield Path(found)
    subprocess.run(["losetup", "-d", found], check=True)


def meta(*words: str, say: str = "") -> str:
    argv = ["drbdmeta", "--force", "147", "v09", *words]
    return subprocess.run(argv, input=say, check=True, capture_output=True, text=True).stdout


@pytest.mark.needs("drbdmeta", "loop")
async def test_metadata_and_what_the_nodes_agreed_upon(tmp_path: Path, disk: Path) -> None:
    volume = KeptVolume(number=0, minor=147, disk=str(disk))
    found = await adm(tmp_path).metadata(volume, deadline=10)
    assert not found.valid
    meta(str(disk), "internal", "create-md", "1", say="yes\n")
    assert (await adm(tmp_path).metadata(volume, deadline=10)).agreed == 0
    dump = meta(str(disk), "internal", "dump-md").replace("la-size-sect 0", "la-size-sect 130976")
    (tmp_path / "dump").write_text(dump.replace("node-id -1", "node-id 0"))
    meta(str(disk), "internal", "restore-md", str(tmp_path / "dump"), say="yes\n")
    found = await adm(tmp_path).metadata(volume, deadline=10)
    assert (found.valid, found.agreed) == (True, 130976 * 512)


@pytest.mark.needs("drbdmeta", "loop")
async def test_a_disk_that_was_resized_has_no_metadata_that_fits(
    tmp_path: Path, disk: Path
) -> None:
    meta(str(disk), "internal", "create-md", "1", say="yes\n")
    with (tmp_path / "disk").open("r+b") as image:
        image.truncate(80 * 1024 * 1024)
    await asyncio.to_thread(lambda: subprocess.run(["losetup", "-c", disk], check=True))
    volume = KeptVolume(number=0, minor=147, disk=str(disk))
    assert not (await adm(tmp_path).metadata(volume, deadline=10)).valid
