# SPDX-License-Identifier: Apache-2.0
"""Read the .res files that LINSTOR keeps, and bring a resource up as they say: ``drbdadm`` and ``drbdmeta``.

Each file is read through a configuration of our own, which includes it and of the host's own what names no resources: ``drbdadm``
refuses all resources when one file is torn, and torn files are what power losses leave. It comes by standard input: of a file,
``drbdadm`` would remember the name with the resource, for its handlers (``/run/drbd/drbd-resource-*.conf``).
"""

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tidegate.bringup.model import FileState, KeptFile, KeptVolume, Metadata
from tidegate.clients import errors, files, process

READ_WITHIN: Final = 10.0
MOST_TEXT: Final = 1024 * 1024
CONFIGURATIONS: Final = ("etc/drbd-90.conf", "etc/drbd.conf")
"""The host's own configuration: of these the first that is there, as ``drbdadm`` looks for them."""
_AGREED: Final = re.compile(r"^last agreed size: .*\((\d+) sectors\)$", re.MULTILINE)
_BUSY: Final = "Device or resource busy"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,126}")
_INCLUDE: Final = re.compile(
    r'^[ \t]*include[ \t]+"?([^";\s]+)"?[ \t]*;?[ \t]*(?:#.*)?$', re.MULTILINE
)
_RESOURCE: Final = re.compile(r"^[ \t]*resource\b", re.MULTILINE)


class DrbdAdm:
    """``drbdadm`` of this host.

    Args:
        node: This host's name as ``uname -n`` says it; ``drbdadm`` finds its own section by that.
        root: The directory that stands for ``/`` when files are looked for.
    """

    def __init__(
        self,
        *,
        node: str,
        root: Path = Path("/"),
        drbdadm: str = "drbdadm",
        drbdmeta: str = "drbdmeta",
    ) -> None:
        self._node, self._root = node, root
        self._drbdadm, self._drbdmeta = drbdadm, drbdmeta

    async def read(self, path: Path) -> KeptFile:
        """Say what the .res file ``path`` is and holds; raises nothing."""
        resource = path.name.removesuffix(".res")
        plain = KeptFile(path=str(path), resource=resource)
        if not _PLAIN.fullmatch(resource):
            return _bad(plain, FileState.FOREIGN, "its name is not one of LINSTOR's")
        done = await process.run(
            [self._drbdadm, "-c", "-", "dump-xml"],
            deadline=READ_WITHIN,
            stdin=self._configuration(path),
            max_output=MOST_TEXT,
        )
        if done.trouble is not None:
            return _bad(plain, FileState.TORN, _words(done.stderr) or done.trouble.text)
        return parse(plain, done.stdout, self._node)

    async def adjust(
        self, file: KeptFile, *, deadline: float, grace: float = 5.0
    ) -> errors.Trouble | None:
        """Bring the resource of ``file`` to what its file says, within ``deadline`` seconds; None when that is done.

        ``adjust`` attaches and connects, waits for no peer (facts/early-observed.md, E6), and changes nothing that is so already.
        """
        argv = [self._drbdadm, "-c", "-", "adjust", file.resource]
        config = self._configuration(Path(file.path))
        return (await process.run(argv, deadline=deadline, stdin=config, grace=grace)).trouble

    async def metadata(self, volume: KeptVolume, *, deadline: float) -> Metadata:
        """Say what the metadata of ``volume`` is; reads its head only. The volume must not be up."""
        where = volume.disk if volume.meta_disk == "internal" else volume.meta_disk
        kind = "internal" if volume.meta_disk == "internal" else "flex-external"
        words = [str(volume.minor), "v09", str(where), kind, "show-gi", "--node-id", "0"]
        done = await process.run([self._drbdmeta, *words], deadline=deadline, max_output=MOST_TEXT)
        if done.trouble is not None:
            silent = done.trouble.code == "process.failed"  # what show-gi does when it finds none
            says = _words(done.stderr) or ("" if silent else done.trouble.text)
            return Metadata(valid=False, busy=_BUSY in says, says=says)
        agreed = _AGREED.search(done.stdout.decode("utf-8", "replace"))
        return Metadata(valid=True, agreed=int(agreed[1]) * 512 if agreed else 0)

    def _configuration(self, path: Path) -> bytes:
        """Return a configuration that holds ``path``, and of the host's own what names no resources."""
        for name in CONFIGURATIONS:
            try:
                own = files.read_text(self._root / name)
            except errors.ClientError:
                continue
            return f'{common(own, self._root)}include "{path}";\n'.encode()
        return f'include "{path}";\n'.encode()


def common(text: str, root: Path = Path("/")) -> str:
    """Return of the host's ``drbd.conf`` what is for all resources: no includes of .res files, and no resource of its own."""
    kept = [name for name in _INCLUDE.findall(text) if not name.endswith(".res")]
    places = [root / "etc" / name if name[0] != "/" else root / name.lstrip("/") for name in kept]
    # A pattern may match nothing; a plain name must be there.
    lines = [f'include "{each}";\n' for each in places if "*" in each.name or each.exists()]
    rest = _INCLUDE.sub("", text)
    return "".join(lines) + ("" if _RESOURCE.search(rest) else f"{rest}\n")


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
    except ValueError as error:
        return _bad(file, FileState.FOREIGN, str(error))
    if not volumes:
        return _bad(file, FileState.EMPTY, "")
    peers = set(hosts) - {node}
    linked = {str(host.get("name")) for host in resources[0].iterfind("connection//host")}
    # Only between two that have no disk LINSTOR writes no connection: DRBD must hear of every other replica before ours is used.
    if (alone := peers - linked) and any(volume.disk for volume in volumes):
        return _bad(file, FileState.FOREIGN, f"it connects to {', '.join(sorted(alone))} nowhere")
    return KeptFile(
        path=file.path,
        resource=file.resource,
        volumes=volumes,
        peers=tuple(sorted(peers)),
        proxy=resources[0].find(".//proxy") is not None,
    )


def _volume(found: ET.Element) -> KeptVolume:
    """Read one volume. Raises ValueError for what LINSTOR does not write."""
    device, meta = found.find("device"), found.find("meta-disk")
    number, minor = found.get("vnr", ""), device.get("minor", "") if device is not None else ""
    if not number.isdecimal() or not minor.isdecimal():
        raise ValueError("a volume in it has no number")
    if meta is not None and meta.get("index") is not None:
        raise ValueError(f"volume {number} shares its metadata's disk with others")
    disk = found.findtext("disk", "none").strip()
    return KeptVolume(
        number=int(number),
        minor=int(minor),
        disk=None if disk in {"none", ""} else disk,
        meta_disk=found.findtext("meta-disk", "internal").strip() or "internal",
    )


def _bad(file: KeptFile, state: FileState, says: str) -> KeptFile:
    return KeptFile(path=file.path, resource=file.resource, state=state, says=says[:300])


def _words(output: bytes) -> str:
    """Return what a program said, in one line; without what its shell says of a missing ``modinfo``."""
    lines = output.decode("utf-8", "replace").replace("\0", "").splitlines()
    return " ".join(line.strip() for line in lines if line.strip() and "modinfo" not in line)[:300]
