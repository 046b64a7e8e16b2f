# SPDX-License-Identifier: Apache-2.0
"""At rest the agent's memory stays as it is, whatever is told meanwhile: the short form of ``make soak``."""

from pathlib import Path

from tests import soak


async def test_memory_is_flat_while_events_come_in(tmp_path: Path) -> None:
    found = await soak.soak(tmp_path, volumes=40, seconds=12.0, settle=4.0)
    assert found.growth <= soak.MOST_GROWTH, str(found)
    assert found.mib <= 64.0, str(found)
    assert found.cpu <= 0.2, str(found)
