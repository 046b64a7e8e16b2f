# SPDX-License-Identifier: Apache-2.0
"""Does a machine answer at an address? Asked so that nobody there is bothered: an echo request, then ports that nobody serves.

Any answer counts, a refusal too: it proves that the machine lives. Silence counts only where this host's own side of the network is
in order, since a broken cable of ours proves nothing about a peer.
"""

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tidegate.core.evidence import PortAnswer, Reach

DEADLINE: Final = 1.5
"""Seconds: long enough for a second packet after one was lost."""
HARMLESS: Final = (9, 22)
"""Ports to knock at first: discard, which nobody serves, and ssh, where nobody minds."""
_NO_WAY: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EAFNOSUPPORT,
    }
)
_REFUSED: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})
_SIOCGIFADDR: Final = 0x8915
_ECHO: Final = b"tidegate"


def has_address(address: str) -> bool:
    """Return whether this host has ``address`` now. Nothing is sent."""
    with contextlib.suppress(OSError, ValueError), _datagram(address) as probe:
        probe.bind((address, 0))
        return True
    return False


async def reach(
    address: str, *, ports: Iterable[int] = (), deadline: float = DEADLINE, root: Path = Path("/")
) -> Reach:
    """Return whether the machine at ``address`` (numbers, no name) answers within ``deadline`` seconds a round.

    ``ports`` are knocked at in a second round, only if nothing answered in the first: they are somebody's, and a knock may be
    seen in a log there. Raises nothing.
    """
    if not has_way(address, root):
        return Reach.NO_WAY
    first = await _any(address, HARMLESS, deadline, echo=True)
    if first is not Reach.SILENT:
        return first
    return await _any(address, tuple(ports), deadline, echo=False)


async def knock(address: str, port: int, deadline: float = DEADLINE) -> PortAnswer | None:
    """Return what TCP ``port`` says; None when this host cannot even send. A connection is closed at once."""
    loop = asyncio.get_running_loop()
    try:
        family = _family(address)
    except ValueError:
        return None
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(deadline):
                await loop.sock_connect(probe, (address, port))
        except TimeoutError:
            return PortAnswer.SILENT
        except OSError as error:
            if error.errno in _REFUSED:
                return PortAnswer.REFUSED
            return None if error.errno in _NO_WAY else PortAnswer.SILENT
    return PortAnswer.OPEN


def has_way(address: str, root: Path = Path("/")) -> bool:
    """Return whether this host has a route to ``address`` over an interface with a carrier. Nothing is sent."""
    try:
        with _datagram(address) as probe:
            probe.connect((address, 9))
            own = probe.getsockname()[0]
    except (OSError, ValueError):
        return False
    name = _interface_of(own)
    if name is None:
        return True  # a way that cannot be looked at closer
    try:
        return (root / "sys/class/net" / name / "carrier").read_text().strip() == "1"
    except OSError:
        return False


async def _any(address: str, ports: tuple[int, ...], deadline: float, *, echo: bool) -> Reach:
    """Try everything at once."""
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(knock(address, port, deadline)) for port in ports]
        if echo:
            tries.append(group.create_task(_echo(address, deadline)))
    said = {one.result() for one in tries}
    if said & {PortAnswer.OPEN, PortAnswer.REFUSED}:
        return Reach.ANSWERS
    return Reach.NO_WAY if said == {None} else Reach.SILENT


async def _echo(address: str, deadline: float) -> PortAnswer | None:
    """Send an echo request by a socket for which no right is needed (man 7 icmp, ping_group_range)."""
    loop = asyncio.get_running_loop()
    is_six = _family(address) == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if is_six else socket.IPPROTO_ICMP
    kind = 128 if is_six else 8
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM, protocol) as probe:
            probe.setblocking(False)
            probe.connect((address, 0))
            probe.send(_request(kind))
            async with asyncio.timeout(deadline):
                await loop.sock_recv(probe, 1024)
    except TimeoutError:
        return PortAnswer.SILENT
    except OSError:
        return None
    return PortAnswer.OPEN


def _request(kind: int) -> bytes:
    """Return an echo request; the kernel puts in the identifier, and for IPv6 the checksum."""
    bare = struct.pack("!BBHHH", kind, 0, 0, 0, os.getpid() & 0xFFFF) + _ECHO
    total = sum(struct.unpack(f"!{len(bare) // 2}H", bare))
    total = (total >> 16) + (total & 0xFFFF)
    return bare[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + bare[4:]


def _family(address: str) -> socket.AddressFamily:
    """Raises ValueError for what is no address in numbers: names are never resolved here."""
    plain = address.partition("%")[0]
    version = ipaddress.ip_address(plain).version
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _datagram(address: str) -> socket.socket:
    return socket.socket(_family(address), socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _interface_of(address: str) -> str | None:
    """Return the interface that carries our own ``address``; None when it cannot be told."""
    names = [name for _, name in socket.if_nameindex()]
    if _family(address) == socket.AF_INET6:
        return _interface_of_six(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for name in names:
            with contextlib.suppress(OSError):
                asked = struct.pack("256s", name.encode()[:15])
                told = fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, asked)
                if socket.inet_ntoa(told[20:24]) == address:
                    return name
    return None


def _interface_of_six(address: str) -> str | None:
    wanted = ipaddress.IPv6Address(address.partition("%")[0]).packed.hex()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            words = line.split()
            if len(words) == 6 and words[0] == wanted:
                return words[5]
    return None
