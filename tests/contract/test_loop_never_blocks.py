# SPDX-License-Identifier: Apache-2.0
"""Nothing that may take its time is done on the agent's loop: the whole agent, in this process, under blockbuster's eyes."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import blockbuster
import pytest
from tests import embedded_nodes as nodes

from tidegate.agent import service, setup
from tidegate.config.model import Config
from tidegate.core.finding import Grade

MAY = {
    # What recovery remembers is small, on a file system in memory, and never synced.
    "agent/memory.py": {"save"},
    # The kernel's own files have no disk behind them; the satellite's program is looked for beside our own.
    "clients/devices/host.py": {"module_version", "satellite_present", "port_listening"},
    # A question to the kernel, answered from memory.
    "clients/devices/listeners.py": {"_ports"},
    "clients/drbd/client.py": {"_check_module"},
    # The bar is remembered as recovery's memory is; which program Incus is, is asked of a file's head.
    "agent/guarding.py": {"_remember", "binary"},
    # Sockets come and go in a directory that lies in memory.
    "agent/control.py": {"_make_way", "serve"},
    "agent/webdoor.py": {"serve"},
}


@contextlib.asynccontextmanager
async def node_elsewhere(directory: Path) -> AsyncIterator[Path]:
    """A simulated node in a process of its own; yields the configuration that points at it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.embedded_nodes", str(directory)), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(nodes.WITHIN):
            yield Path((await process.stdout.readline()).decode().strip())
    finally:
        process.kill()
        await process.communicate()


async def test_the_agents_loop_is_never_blocked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_elsewhere(tmp_path) as path:
        config = await asyncio.to_thread(setup.load, overrides={}, config=str(path), env={})
        assert isinstance(config, Config)
        # Starting up may block: nothing else waits for the loop yet.
        async with service.serving(config) as (_path, loop), asyncio.timeout(nodes.WITHIN):
            with blockbuster.blockbuster_ctx("tidegate") as watch:
                for function in watch.functions.values():
                    for file, names in MAY.items():
                        function.can_block_in(file, names)
                while loop.report.grade is not Grade.OK or "all 4" not in loop.sentence:
                    await loop.next_report()
    assert "report this as a bug" not in caplog.text
    assert "Blocking call" not in caplog.text
