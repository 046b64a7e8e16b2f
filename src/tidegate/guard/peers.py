# SPDX-License-Identifier: Apache-2.0
"""Whose socket is at the other end of a connection: asked of the kernel, not of the peer (contract.md, safety 6).

For TCP on loopback the owner is what sock_diag(7) says of the peer's own socket. Beware: the kernel calls a socket that nobody
holds any more (closed by its process, or in TIME_WAIT) one of uid 0. So an owner counts only with an inode, which such a socket
lacks, and in a state in which a process still holds it; else anybody could connect, send, close, and pass for root.
"""

import ipaddress
import socket
import struct
from typing import Final

import msgspec

_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST_ONE: Final = 0x1
_HEAD: Final = struct.Struct("=IHHII")
_WANT: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
"""Interface (any) and the two halves of INET_DIAG_NOCOOKIE."""
_FOUND: Final = struct.Struct("=BBBB")
_OWNER_AT: Final = 4 + 48 + 12
"""In inet_diag_msg: four bytes, the socket's identity, expires, rqueue, wqueue; then uid and inode."""
_OWNER: Final = struct.Struct("=II")
_LIMIT: Final = 0.2
"""Seconds for an answer; the kernel has it at once or not at all."""
_HELD: Final = frozenset({1, 4, 5, 8})
"""ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT; LISTEN and TIME_WAIT are not the socket that was asked for."""
_CREDENTIALS: Final = struct.Struct("3i")

Place = tuple[str, int]
"""Address and port."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of a socket."""

    uid: int
    inode: int
    state: int


def of_connection(connection: socket.socket) -> int | None:
    """Return the uid that owns the other end; None when the kernel does not say, or nobody holds it any more."""
    try:
        if connection.family == socket.AF_UNIX:
            size = _CREDENTIALS.size
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            uid: int = _CREDENTIALS.unpack(raw)[1]
            return uid
        peer, own = connection.getpeername()[:2], connection.getsockname()[:2]
        return holder(_ask(connection.family, peer, own))
    except OSError:
        return None


def holder(owner: Owner | None) -> int | None:
    """Return the uid of a socket that a process holds, else None (pure)."""
    if owner is None or owner.inode == 0 or owner.state not in _HELD:
        return None
    return owner.uid


def _ask(family: int, source: Place, destination: Place) -> Owner | None:
    """Ask for the socket whose own end is ``source`` and whose peer is ``destination``. Raises OSError."""
    request = (
        _WANT.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        + _PORTS.pack(source[1], destination[1])
        + _address(source[0])
        + _address(destination[0])
        + _NO_COOKIE
    )
    head = _HEAD.pack(_HEAD.size + len(request), _BY_FAMILY, _REQUEST_ONE, 1, 0)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_LIMIT)
        netlink.send(head + request)
        return _read(netlink.recv(4096), source[1], destination[1])


def _read(datagram: bytes, source: int, destination: int) -> Owner | None:
    """Read the kernel's answer; None when it is about no socket, or another one (a listener on the same port)."""
    if len(datagram) < _HEAD.size:
        return None
    _length, kind, _flags, _sequence, _pid = _HEAD.unpack_from(datagram)
    body = datagram[_HEAD.size :]
    if kind != _BY_FAMILY or len(body) < _OWNER_AT + _OWNER.size:
        return None
    _family, state, _timer, _retransmits = _FOUND.unpack_from(body)
    if _PORTS.unpack_from(body, 4) != (source, destination):
        return None
    uid, inode = _OWNER.unpack_from(body, _OWNER_AT)
    return Owner(uid=uid, inode=inode, state=state)


def _address(text: str) -> bytes:
    return ipaddress.ip_address(text.partition("%")[0]).packed.ljust(16, b"\0")
