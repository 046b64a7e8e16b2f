# SPDX-License-Identifier: Apache-2.0
"""What the files of this host say about DRBD, the satellite and open ports. Nothing here can block.

Every function takes ``root``, the directory that stands for ``/`` (a simulated machine, a container).
"""

import re
import tomllib
from pathlib import Path

from tidegate.clients import errors, files
from tidegate.clients.devices import listeners

SATELLITE = Path("usr/share/linstor-server/bin/Satellite")
_SATELLITE_TOML = Path("etc/linstor/linstor_satellite.toml")
_SATELLITE_PORTS = frozenset({3366, 3367})
"""What it listens on by default, without and with TLS."""
_MODULE = Path("sys/module/drbd/version")
_BY_RES = Path("dev/drbd/by-res")
_LISTENING = "0A"
_FULL = re.compile(r"^full avg10=([0-9.]+)", re.MULTILINE)


def module_version(root: Path = Path("/")) -> str | None:
    """The version of the loaded DRBD module, None while it is not loaded (facts/incus.md C4)."""
    try:
        return files.read_text(root / _MODULE, limit=4096).strip()
    except errors.ClientError:
        return None


def satellite_present(root: Path = Path("/")) -> bool:
    """The file is there without which Incus's LINSTOR driver does not load (facts/incus.md D53)."""
    return (root / SATELLITE).exists()


def satellite_ports(root: Path = Path("/")) -> frozenset[int]:
    """The ports that a satellite of this host may listen on: LINSTOR's own, and the one of its configuration (facts/linstor.md 2.1)."""
    try:
        told = tomllib.loads(files.read_text(root / _SATELLITE_TOML))
    except (errors.ClientError, tomllib.TOMLDecodeError):
        return _SATELLITE_PORTS
    part = told.get("netcom")
    port = part.get("port") if isinstance(part, dict) else None
    return _SATELLITE_PORTS | {port} if isinstance(port, int) else _SATELLITE_PORTS


def by_res(resource: str, volume: int, root: Path = Path("/")) -> str | None:
    """The device that udev's link of a DRBD volume leads to, as a path on that machine; None without link.

    The link comes up to seconds after the device and proves nothing about it (facts/drbd-observed.md).
    """
    link = root / _BY_RES / resource / str(volume)
    try:
        target = link.readlink()
    except OSError:
        return None
    if target.is_absolute():
        return str(target)
    parts: list[str] = []
    for part in (*(Path("/") / _BY_RES / resource).parts[1:], *target.parts):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def stalled(root: Path = Path("/")) -> int | None:
    """Percent of the last ten seconds in which all work waited for disk or memory, rounded down to 20; None where not told.

    ``full avg10`` of the kernel's pressure stall information.
    """
    shares = []
    for name in ("io", "memory"):
        try:
            text = files.read_text(root / "proc/pressure" / name, limit=4096)
        except errors.ClientError:
            continue
        shares += [float(found) for found in _FULL.findall(text)]
    return int(max(shares) // 20 * 20) if shares else None


def port_listening(port: int, root: Path = Path("/")) -> bool | None:
    """Some process of this network namespace listens on TCP ``port``; None when it cannot be looked up."""
    if root == Path("/") and (said := listeners.listens(port)) is not None:
        return said
    tables = []
    for name in ("tcp", "tcp6"):
        try:
            tables.append(files.read_text(root / "proc/net" / name, limit=64 * 1024 * 1024))
        except errors.ClientError:
            continue
    if not tables:
        return None
    return any(_listens(line, port) for table in tables for line in table.splitlines()[1:])


def _listens(line: str, port: int) -> bool:
    words = line.split()
    if len(words) < 4 or words[3] != _LISTENING:
        return False
    return words[1].rpartition(":")[2] == f"{port:04X}"
