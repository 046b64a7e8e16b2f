# SPDX-License-Identifier: Apache-2.0
"""A private bus and a systemd on it, for every test of this room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fake_systemd import Daemon, FakeSystemd

from tidegate.clients.systemd import manager


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    found = Daemon(tmp_path, f"unix:path={tmp_path}/bus")
    await found.start()
    yield found
    await found.kill()


@pytest.fixture
async def systemd(daemon: Daemon) -> AsyncIterator[FakeSystemd]:
    fake = FakeSystemd()
    await fake.serve(daemon.address)
    yield fake
    await fake.close()


@pytest.fixture
async def manage(systemd: FakeSystemd, daemon: Daemon) -> AsyncIterator[manager.Manager]:
    async with manager.Manager(daemon.address, deadline=20) as found:
        yield found
