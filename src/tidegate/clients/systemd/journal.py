# SPDX-License-Identifier: Apache-2.0
"""A logging handler that speaks journald's native protocol (systemd: JOURNAL_NATIVE_PROTOCOL.md).

Fields come from ``extra=``: every ``TIDEGATE_*`` key of a record becomes a field of the entry, so that
``journalctl TIDEGATE_EVENT=verdict`` works. The socket is never waited for: what journald does not take at
once goes to standard error, which systemd sends to the journal as well.
"""

import fcntl
import logging
import os
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")
_PREFIX: Final = "TIDEGATE_"
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4))
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def is_read(environ: Mapping[str, str] = os.environ) -> bool:
    """Return True when this process's standard error goes to the journal, as systemd has it for services (``man systemd.exec``)."""
    try:
        device, inode = environ.get("JOURNAL_STREAM", "").split(":")
        told = os.fstat(2)
        return (told.st_dev, told.st_ino) == (int(device), int(inode))
    except (ValueError, OSError):
        return False


def plain(stream: TextIO | None = None) -> logging.Handler:
    """A handler for a person: standard error."""
    made = logging.StreamHandler(stream or sys.stderr)
    made.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    return made


def handler(
    path: Path = SOCKET, *, identifier: str = "tidegate", fallback: TextIO | None = None
) -> logging.Handler:
    """A handler for the journal, or for standard error where there is no journal."""
    if path.is_socket():
        return JournalHandler(path, identifier=identifier, fallback=fallback)
    return plain(fallback)


def encode(fields: dict[str, str]) -> bytes:
    """``fields`` as one entry: text with a newline in it is sent with its length in front."""
    parts = []
    for name, text in fields.items():
        data = text.encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def priority(level: int) -> int:
    """Syslog's priority of a level of ``logging``."""
    for least, number in _PRIORITIES:
        if level >= least:
            return number
    return 6 if level >= logging.INFO else 7


class JournalHandler(logging.Handler):
    """Sends records to journald. ``lost`` counts what went to the fall-back instead."""

    def __init__(
        self, path: Path = SOCKET, *, identifier: str = "tidegate", fallback: TextIO | None = None
    ) -> None:
        super().__init__()
        self.lost = 0
        self._path = str(path)
        self._identifier = identifier
        self._fallback = fallback
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; raises nothing."""
        try:
            fields = self._fields(record)
        except (TypeError, ValueError):  # a message that does not fit its arguments
            self.handleError(record)
            return
        try:
            self._send(encode(fields))
        except OSError:
            self.lost += 1
            print(f"<{fields['PRIORITY']}>{fields['MESSAGE']}", file=self._fallback or sys.stderr)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(priority(record.levelno)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        for key, value in vars(record).items():
            if key.startswith(_PREFIX) and value is not None:
                fields[key] = str(value)
        return fields

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if isinstance(error, BlockingIOError | FileNotFoundError | ConnectionRefusedError):
                raise
            self._send_large(data)  # EMSGSIZE or ENOBUFS, depending on kernel and limits

    def _send_large(self, data: bytes) -> None:
        """Hand over a sealed file instead of a datagram that is too large."""
        descriptor = os.memfd_create("tidegate-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            # socket.send_fds would not do: it forgets the address.
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))
            self._socket.sendmsg([b""], [rights], 0, self._path)
