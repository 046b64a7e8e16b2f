# SPDX-License-Identifier: Apache-2.0
"""sd_notify: tell systemd how this service is (``man sd_notify``). Without systemd it does nothing.

The socket's address may be abstract (``@name``), which copies of this protocol in other projects got
wrong more than once. Sending never blocks and never fails the caller: it returns whether it was sent.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
WATCHDOG: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"


def status(text: str) -> str:
    """One line for ``systemctl status``."""
    return "STATUS=" + " ".join(text.split())


def extend_timeout(seconds: float) -> str:
    """Ask for ``seconds`` more from now on before the start (or stop) counts as too long."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}"


def reloading(monotonic_usec: int) -> str:
    """Say that a reload begins; ``monotonic_usec`` is CLOCK_MONOTONIC now. READY ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}"


def notify(*messages: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send ``messages`` in one datagram. False when there is no systemd to tell, or it did not take it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not messages or address[:1] not in {"/", "@"}:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto("\n".join(messages).encode(), address)
        except OSError:
            return False
    return True


def watchdog_interval(
    environ: Mapping[str, str] = os.environ, *, pid: int | None = None
) -> float | None:
    """Seconds within which systemd wants to hear WATCHDOG; send at a third of it. None: no watchdog.

    ``pid`` is this process: ``WATCHDOG_PID`` says for whom the watchdog is meant.
    """
    wanted = environ.get("WATCHDOG_PID")
    if wanted and wanted != str(os.getpid() if pid is None else pid):
        return None
    try:
        interval = int(environ.get("WATCHDOG_USEC", "")) / 1_000_000
    except ValueError:
        return None
    return interval if interval > 0 else None
