# SPDX-License-Identifier: Apache-2.0
"""Whatever becomes of our own files, the instances come up: a full disk, a place that cannot be written, files that cannot be read."""

from pathlib import Path

import pytest
from tests import embedded_nodes as nodes

ALL = {"c1", "c2", "c3", "d1"}
FULL = ("/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
"""No file may grow: what a full disk does to a program, without one. Its own socket and pipes go on working."""


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_with_a_full_disk_everything_comes_up(
    tmp_path: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    late = nodes.until_moment(nodes.OFFLINE, 0.8)
    node = nodes.node(tmp_path, late)
    async with node.running(), nodes.agent(node, inside=FULL) as agent:
        await nodes.until(node, lambda: nodes.running(node) == ALL)
        assert node.incus.world.validations, "by us, not by Incus's own minute"
        assert (await agent.status())["sentence"]
        assert await agent.end() == 0


async def test_with_no_place_for_what_must_last_everything_comes_up(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 0.8)
    node = nodes.node(tmp_path, late)
    taken = tmp_path / "taken"
    taken.write_text("a file where a directory should be")
    place = {"agent.state_dir": str(taken)}
    async with node.running(), nodes.agent(node, more=place) as agent:
        await nodes.until(node, lambda: nodes.running(node) == ALL)
        assert "history" in agent.log
        assert await agent.end() == 0


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff garbage \n" * 400, b'{"format": 99}'])
async def test_files_that_cannot_be_read_are_never_fatal(tmp_path: Path, garbage: bytes) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 0.8)
    node = nodes.node(tmp_path, late)
    for name in ("state/history.db", "state/wanted.json", "run/recovery.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(garbage)
    async with node.running(), nodes.agent(node) as agent:
        await nodes.until(node, lambda: nodes.running(node) == ALL)
        assert "recovery.json" in agent.log or garbage.startswith(b"{")
        assert await agent.end() == 0


async def test_killed_again_and_again_it_starts_nothing_twice(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 1.0)
    node = nodes.node(tmp_path, late, timings=nodes.quick(instance_start=0.4))
    async with node.running():
        for moment in (1.2, 1.9, 2.6, 3.3):
            async with nodes.agent(node) as agent:
                await nodes.until(node, lambda until=moment: node.now() > until)  # type: ignore[misc]
                await agent.end(nodes.KILL)
        async with nodes.agent(node):
            await nodes.until(node, lambda: nodes.running(node) == ALL)
    begun = nodes.starts(node)
    assert sorted(begun) == sorted(ALL), begun
