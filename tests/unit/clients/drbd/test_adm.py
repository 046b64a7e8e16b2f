# SPDX-License-Identifier: Apache-2.0
"""Kept files as the real drbdadm reads them, metadata as the real drbdmeta does: neither needs the kernel module."""

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.bringup.model import FileState, KeptFile, KeptVolume
from tidegate.clients.drbd.adm import DrbdAdm, common

RESOURCE = "incus-volume-339abc8c70f044228fba06e7bfe8579e"
KEPT = Path(__file__).parents[3] / "data" / "bringup" / f"{RESOURCE}.res"
LV = "/dev/vg0/339abc8c70f044228fba06e7bfe8579e_00000"
RICH = (KEPT.parent / "db.prod-1_x.res").read_text()
needs_drbdadm = pytest.mark.needs("drbdadm")


def adm(tmp_path: Path, node: str = "n1") -> DrbdAdm:
    return DrbdAdm(node=node, root=tmp_path)


def written(tmp_path: Path, text: str, name: str = RESOURCE) -> Path:
    path = tmp_path / f"{name}.res"
    path.write_text(text)
    return path


def drbdadm(config: str, *words: str) -> str:
    """What the real one says on node n1, given ``config``."""
    return subprocess.run(
        ["drbdadm", "-c", "-", *words],
        input=config,
        env={"__DRBD_NODE__": "n1", "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


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
async def test_what_linstor_writes_for_other_layouts(tmp_path: Path) -> None:
    """Several volumes, IPv6, a quorum, a tie-breaker, handlers, two paths, a name with dots; read by the real drbdadm."""
    read = await adm(tmp_path).read(written(tmp_path, RICH, "db.prod-1_x"))
    assert read == KeptFile(
        path=str(tmp_path / "db.prod-1_x.res"),
        resource="db.prod-1_x",
        volumes=(
            KeptVolume(number=0, minor=1010, disk="/dev/zvol/tank/linstor/db.prod-1_x_00000"),
            KeptVolume(
                number=1, minor=1011, disk="/dev/vg-a/db_00001", meta_disk="/dev/ssd/db.meta_00001"
            ),
        ),
        peers=("n2.example.org", "n3"),
    )
    broker = await adm(tmp_path, "n3").read(written(tmp_path, RICH, "db.prod-1_x"))
    assert [volume.disk for volume in broker.volumes] == [None, None]


@needs_drbdadm
async def test_a_proxy_is_seen(tmp_path: Path) -> None:
    text = KEPT.read_text()
    for node, address in (("n1", "10.88.0.11"), ("n2", "10.88.0.12")):
        plain = f'host "{node}" address ipv4 {address}:7002;'
        over = f'host "{node}" address 127.0.0.1:7002 via proxy on {node} {{ inside 127.0.0.2:7002; outside ipv4 {address}:7002; }}'
        text = text.replace(plain, over)
    read = await adm(tmp_path).read(written(tmp_path, text))
    assert (read.state, read.proxy) == (FileState.GOOD, True)


@needs_drbdadm
async def test_the_hosts_own_options_count_and_its_resources_do_not(tmp_path: Path) -> None:
    """drbd.conf is read without the .res files that it includes: one of them may be torn."""
    (tmp_path / "etc/drbd.d").mkdir(parents=True)
    (tmp_path / "etc/drbd.d/linstor-resources.res").write_text("torn {")
    (tmp_path / "etc/drbd.d/global_common.conf").write_text(
        "global { usage-count no; }\ncommon { net { max-buffers 9000; } }\n"
    )
    (tmp_path / "etc/drbd.conf").write_text(
        '# of Debian\ninclude "drbd.d/global_common.conf";\ninclude "drbd.d/*.res";\n'
        'include "/etc/drbd.d/not-there.conf"; # gone\n'
    )
    assert (await adm(tmp_path).read(written(tmp_path, KEPT.read_text()))).state is FileState.GOOD
    config = common((tmp_path / "etc/drbd.conf").read_text(), tmp_path) + f'include "{KEPT}";\n'
    said = await asyncio.to_thread(drbdadm, config, "dump")
    assert "max-buffers" in said


def test_what_is_for_all_resources() -> None:
    inline = 'include "drbd.d/*.res"\ncommon { options { quorum off; } }\n'
    assert common(inline).strip() == "common { options { quorum off; } }"
    assert common(f"{inline}resource r {{ }}\n") == "", "a resource of its own may be sick"


@needs_drbdadm
async def test_it_is_called_without_a_file_that_drbdadm_would_remember(tmp_path: Path) -> None:
    """The very commands of the real drbdadm for a resource that is not up, ours added to its dry run."""
    program = tmp_path / "drbdadm"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked; cat > {tmp_path}/config\n')
    program.chmod(0o755)
    whole = DrbdAdm(node="n1", root=tmp_path, drbdadm=str(program))
    file = KeptFile(path=str(KEPT), resource=RESOURCE)
    assert await whole.adjust(file, deadline=10) is None
    assert (tmp_path / "asked").read_text() == f"-c - adjust {RESOURCE}\n"
    config = (tmp_path / "config").read_text()
    dry = await asyncio.to_thread(drbdadm, config, "-d", "adjust", RESOURCE)
    verbs = [line.split()[1] for line in dry.splitlines() if line.startswith("drbdsetup")]
    assert verbs == ["new-resource", "new-minor", "new-peer", "new-path", "attach", "connect"]
    assert "apply-al" in dry
    assert not {"primary", "--force", "create-md", "invalidate"} & set(dry.split())


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
        (
            KEPT.read_text().replace("internal;", "/dev/ssd/m[3];", 1),
            RESOURCE,
            FileState.FOREIGN,
            "shares its metadata's disk",
        ),
        (
            RICH.rpartition("    connection")[0] + "}\n",
            "db.prod-1_x",
            FileState.FOREIGN,
            "it connects to n3 nowhere",
        ),
        (KEPT.read_text() + "\x00" * 64, RESOURCE, FileState.TORN, ""),
        (f'include "/not/there.res";\n{KEPT.read_text()}', RESOURCE, FileState.TORN, "include"),
        (KEPT.read_text(), "-c", FileState.FOREIGN, "its name is not one of LINSTOR's"),
    ],
    ids=[
        "empty",
        "comment",
        "cut",
        "zeroes",
        "foreign",
        "elsewhere",
        "indexed",
        "alone",
        "zero-tail",
        "include",
        "name",
    ],
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
    lacking = DrbdAdm(node="n1", drbdadm="drbdadm-not-here", root=tmp_path)
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
async def test_metadata_of_a_crashed_primary(tmp_path: Path, disk: Path) -> None:
    """Its activity log is not applied yet, which `dump-md` refuses: reading it must neither fail nor apply it."""
    meta(str(disk), "internal", "create-md", "1", say="yes\n")
    dump = meta(str(disk), "internal", "dump-md").replace("la-size-sect 0", "la-size-sect 130976")
    dump = re.sub("flags 0x[0-9a-f]+", "flags 0x00000007", dump, count=1)
    (tmp_path / "dump").write_text(dump.replace("node-id -1", "node-id 0"))
    meta(str(disk), "internal", "restore-md", str(tmp_path / "dump"), say="yes\n")
    before = await asyncio.to_thread(disk.read_bytes)
    volume = KeptVolume(number=0, minor=147, disk=str(disk))
    found = await adm(tmp_path).metadata(volume, deadline=10)
    assert (found.valid, found.agreed) == (True, 130976 * 512)
    assert await asyncio.to_thread(disk.read_bytes) == before


@pytest.mark.needs("drbdmeta", "loop")
async def test_a_disk_that_somebody_holds_is_no_disk_without_metadata(
    tmp_path: Path, disk: Path
) -> None:
    """As udev's programs may, right after it was activated."""
    meta(str(disk), "internal", "create-md", "1", say="yes\n")
    volume = KeptVolume(number=0, minor=147, disk=str(disk))
    holder = os.open(disk, os.O_RDONLY | os.O_EXCL)
    try:
        held = await adm(tmp_path).metadata(volume, deadline=10)
    finally:
        os.close(holder)
    assert (held.valid, held.busy) == (False, True)
    assert (await adm(tmp_path).metadata(volume, deadline=10)).valid


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
