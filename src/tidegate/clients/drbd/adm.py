# SPDX-License-Identifier: Apache-2.0
"""Read the .res files that LINSTOR keeps, and bring a resource up as they say: ``drbdadm`` and ``drbdmeta``.

Each file is read through a configuration of our own that includes it and the host's common section alone: ``drbdadm`` refuses all
resources when one file is torn, and torn files are what power losses leave.
"""

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tidegate.bringup.model import FileState, KeptFile, KeptVolume, Metadata
from tidegate.clients import errors, files, process

READ_WITHIN: Final = 5.0
MOST_TEXT: Final = 1024 * 1024
COMMON: Final = "etc/drbd.d/global_common.conf"
_AGREED: Final = re.compile(r"^last agreed size: .*\((\d+) sectors\)$", re.MULTILINE)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,126}")


class DrbdAdm:
    """``drbdadm`` of this host.

    Args:
        run_dir: Where the small configuration files go; made if missing, private.
        node: This host's name as ``uname -n`` says it; ``drbdadm`` finds its own section by that.
        root: The directory that stands for ``/`` when files are looked for.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        node: str,
        root: Path = Path("/"),
        drbdadm: str = "drbdadm",
        drbdmeta: str = "drbdmeta",
    ) -> None:
        self._run_dir, self._node, self._root = run_dir, node, root
        self._drbdadm, self._drbdmeta = drbdadm, drbdmeta

    async def read(self, path: Path) -> KeptFile:
        """Say what the .res file ``path`` is and holds; raises nothing."""
        resource = path.name.removesuffix(".res")
        plain = KeptFile(path=str(path), resource=resource)
        if not _PLAIN.fullmatch(resource):
            return _bad(plain, FileState.FOREIGN, "its name is not one of LINSTOR's")
        done = await process.run(
            [self._drbdadm, "-c", str(self._written(path)), "dump-xml"],
            deadline=READ_WITHIN,
            max_output=MOST_TEXT,
        )
        if done.trouble is not None:
            return _bad(plain, FileState.TORN, _words(done.stderr) or done.trouble.text)
        return parse(plain, done.stdout, self._node)

    async def adjust(self, file: KeptFile, *, deadline: float) -> errors.Trouble | None:
        """Bring the resource of ``file`` to what its file says, within ``deadline`` seconds; None when that is done.

        ``adjust`` attaches and connects, waits for no peer (facts/early-observed.md, E6), and changes nothing that is so already.
        """
        config = self._written(Path(file.path))
        argv = [self._drbdadm, "-c", str(config), "adjust", file.resource]
        return (await process.run(argv, deadline=deadline)).trouble

    async def metadata(self, volume: KeptVolume, *, deadline: float) -> Metadata:
        """Say what the metadata of ``volume`` is; reads its head only. The volume must not be up."""
        where = volume.disk if volume.meta_disk == "internal" else volume.meta_disk
        kind = "internal" if volume.meta_disk == "internal" else "flex-external"
        words = [str(volume.minor), "v09", str(where), kind, "show-gi", "--node-id", "0"]
        done = await process.run([self._drbdmeta, *words], deadline=deadline, max_output=MOST_TEXT)
        if done.trouble is not None:
            silent = done.trouble.code == "process.failed"  # what show-gi does when it finds none
            return Metadata(
                valid=False, says=_words(done.stderr) or ("" if silent else done.trouble.text)
            )
        agreed = _AGREED.search(done.stdout.decode("utf-8", "replace"))
        return Metadata(valid=True, agreed=int(agreed[1]) * 512 if agreed else 0)

    def _written(self, path: Path) -> Path:
        """Return a configuration that holds ``path`` and the host's common section."""
        common = self._root / COMMON
        lines = [f'include "{each}";\n' for each in (common, path) if each.exists()]
        target = self._run_dir / f"{path.name.removesuffix('.res')}.conf"
        files.make_directory(self._run_dir, mode=0o700)
        files.write(target, "".join(lines).encode(), mode=0o600, durable=False)
        return target


def parse(file: KeptFile, xml: bytes, node: str) -> KeptFile:
    """Read what ``drbdadm dump-xml`` printed of one file. Pure."""
    try:
        tree = ET.fromstring(xml)  # noqa: S314  printed by drbdadm, from root's files
    except ET.ParseError as error:
        return _bad(file, FileState.TORN, f"drbdadm's own answer cannot be read: {error}")
    resources = tree.findall("resource")
    if not resources:
        return _bad(file, FileState.EMPTY, "")
    if len(resources) > 1 or resources[0].get("name") != file.resource:
        names = ", ".join(str(found.get("name")) for found in resources[:4])
        return _bad(file, FileState.FOREIGN, f"it holds {names}")
    hosts = {str(host.get("name")): host for host in resources[0].findall("host")}
    if node not in hosts:
        return _bad(file, FileState.NOT_HERE, f"it names {', '.join(sorted(hosts))}")
    try:
        volumes = tuple(_volume(found) for found in hosts[node].findall("volume"))
    except (ValueError, AttributeError):
        return _bad(file, FileState.FOREIGN, "a volume in it has no number")
    if not volumes:
        return _bad(file, FileState.EMPTY, "")
    return KeptFile(
        path=file.path,
        resource=file.resource,
        volumes=volumes,
        peers=tuple(sorted(set(hosts) - {node})),
    )


def _volume(found: ET.Element) -> KeptVolume:
    device = found.find("device")
    disk = found.findtext("disk", "none").strip()
    return KeptVolume(
        number=int(found.get("vnr", "")),
        minor=int(device.get("minor", "") if device is not None else ""),
        disk=None if disk in {"none", ""} else disk,
        meta_disk=found.findtext("meta-disk", "internal").strip() or "internal",
    )


def _bad(file: KeptFile, state: FileState, says: str) -> KeptFile:
    return KeptFile(path=file.path, resource=file.resource, state=state, says=says[:300])


def _words(output: bytes) -> str:
    """Return what a program said, in one line; without what its shell says of a missing ``modinfo``."""
    lines = output.decode("utf-8", "replace").replace("\0", "").splitlines()
    return " ".join(line.strip() for line in lines if line.strip() and "modinfo" not in line)[:300]
