"""What every test may rely on: the ``needs`` marker."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def _has_root() -> bool:
    return os.geteuid() == 0


def _has_loop_devices() -> bool:
    if not _has_root() or shutil.which("losetup") is None:
        return False
    return Path("/dev/loop-control").exists()


def _has_loopback() -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError:
            return False
    return True


# A need that is not the name of a program. Everything else is looked up on the PATH.
NEEDS: dict[str, Callable[[], bool]] = {
    "root": _has_root,
    "loop": _has_loop_devices,
    "loopback": _has_loopback,
    "linux": lambda: sys.platform == "linux",
}


def is_there(need: str) -> bool:
    """Whether this machine has ``need``: a name of :data:`NEEDS` or a program."""
    known = NEEDS.get(need)
    return known() if known else shutil.which(need) is not None


def pytest_configure() -> None:
    """Keep pytest-asyncio from making a loop of its own in passing.

    It asks for the current event loop before its first test; one made by that asking would be dropped, unclosed, by the first
    ``asyncio.run`` of a test that is not asynchronous, and the warning would fail whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, what cannot run here; under TIDEGATE_REQUIRE=all that is a failure."""
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if is_there(need):
                continue
            if os.environ.get("TIDEGATE_REQUIRE") == "all":
                pytest.fail(f"needs {need}, which TIDEGATE_REQUIRE=all demands", pytrace=False)
            pytest.skip(f"needs {need}")
