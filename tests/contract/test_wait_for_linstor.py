# SPDX-License-Identifier: Apache-2.0
"""``tidegate wait api-online`` and ``satellite-online NODE``, as a person or a unit runs them, against controllers on loopback."""

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec
from aiohttp import web
from tests.unit.clients.controllers import VERSION, Controller


class Done(msgspec.Struct, frozen=True):
    code: int
    out: str
    err: str


async def tidegate(*words: str, cwd: Path, **environment: str) -> Done:
    """Run the command with LINSTOR's own environment names and nothing else of this host."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=kept | environment,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def test_an_api_that_answers(tmp_path: Path) -> None:
    async with Controller().running() as controller:
        done = await tidegate("wait", "api-online", cwd=tmp_path, LS_CONTROLLERS=controller.url)
    assert (done.code, done.err) == (0, "")
    assert "api-online reached" in done.out
    assert f"LINSTOR 1.34.0 answers at {controller.url}" in done.out


async def test_nobody_there_in_time(tmp_path: Path) -> None:
    done = await tidegate(
        *("wait", "api-online", "--timeout", "1s"),
        cwd=tmp_path,
        LS_CONTROLLERS="http://127.0.0.1:1",
    )
    assert done.code == 3
    assert "api-online not reached after 1" in done.err
    assert "127.0.0.1:1" in done.err
    assert "controller.refused" in done.err


async def test_a_satellite_that_comes(tmp_path: Path) -> None:
    words = iter(["OFFLINE", "CONNECTED", "CONNECTED"])

    async def node(request: web.Request) -> web.StreamResponse:
        if request.path != "/v1/nodes/n2":
            return web.json_response(VERSION)
        return web.json_response({"name": "n2", "connection_status": next(words, "ONLINE")})

    async with Controller().running() as controller:
        controller.hook = node
        done = await tidegate(
            *("wait", "satellite-online", "n2"), cwd=tmp_path, LS_CONTROLLERS=controller.url
        )
    assert done.code == 0
    assert "shows n2 as ONLINE" in done.out
    assert "shows n2 as CONNECTED" in done.err, "progress"


async def test_a_node_that_linstor_does_not_know(tmp_path: Path) -> None:
    async with Controller().running() as controller:
        done = await tidegate(
            *("wait", "satellite-online", "typo", "--timeout", "0", "--format", "json"),
            cwd=tmp_path,
            LS_CONTROLLERS=controller.url,
        )
    assert done.code == 3
    told = json.loads(done.out)
    assert (told["reached"], told["waited_for"]) == (False, "satellite-online")
    assert "not found" in told["reason"]


async def test_a_controller_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    async with Controller().running() as controller:

        async def hang(request: object) -> None:
            await asyncio.sleep(3600)

        controller.hook = hang  # type: ignore[assignment]
        done = await tidegate(
            "wait", "api-online", "--timeout", "1s", cwd=tmp_path, LS_CONTROLLERS=controller.url
        )
    assert done.code == 3
    assert "controller.timeout" in done.err


async def test_a_list_of_controllers_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "etc/linstor").mkdir(parents=True)
    (tmp_path / "etc/linstor/linstor-client.conf").write_text("[global]\ncontrollers=ftp://x\n")
    done = await tidegate(
        *("wait", "api-online", "--timeout", "1s"),
        cwd=tmp_path,
        TIDEGATE_HOST_ROOT=str(tmp_path),
    )
    assert done.code == 2
    assert "linstor-client.conf" in done.err
    assert "ftp" in done.err


async def test_what_is_meant_is_said(tmp_path: Path) -> None:
    done = await tidegate("wait", "satellite-online", cwd=tmp_path)
    assert (done.code, "satellite-online NODE" in done.err) == (2, True)
