# SPDX-License-Identifier: Apache-2.0
"""The simulated Incus's answers against those of a real Incus 7.0.2, field by field, for the same server (recording incus-api)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from tests import linstor_recordings as recorded
from tests.linstor_recordings import OnPurpose
from tests.recordings import DATA
from tests.scripted_incus import Lab

from tidegate.sim.faces.incus_http import IncusFace
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus import values, views
from tidegate.sim.incus.warnings import POOL_UNAVAILABLE

SPEED = 20.0
ON_PURPOSE = (
    OnPurpose(
        request=r"GET /1\.0",
        differs=r"\.metadata\.(api_extensions.*|environment\.(certificate.*|\w+_features|driver.*|kernel_version)): .*",
        why="what the build, the kernel and the certificate of that machine were, which nobody of ours asks for",
    ),
    OnPurpose(
        request=r"GET /1\.0",
        differs=r"\.metadata\.environment\.storage\S*: .*9\.2\.14.*",
        why="another DRBD module",
    ),
    OnPurpose(
        request=r"GET /1\.0/(instances.*|instances/c1.*)",
        differs=r"\.metadata\S*config\.volatile\.(base_image|cloud-init\S*|\S*idmap\S*|uuid\S*): missing",
        why="Incus's own notes about image, identifiers and user mapping: nothing of ours reads them",
    ),
    OnPurpose(
        request=r"GET /1\.0/(storage-pools/remote.*|projects.*)",
        differs=r"\.metadata\S*: (\d items, recorded \d|.*recorded '/1\.0/(images|instances|profiles)/.*')",
        why="the image from which the containers were made has a volume and a user there; the model has no images",
    ),
    OnPurpose(
        request=r"GET /1\.0/warnings\?recursion=1",
        differs=r"\.metadata: 0 items, recorded 7",
        why="the recording's machine lacked KVM, AppArmor and cgroup controllers",
    ),
)


def calls() -> list[dict[str, Any]]:
    text = (DATA / "incus-api" / "answers.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def answer_to(path: str) -> Any:
    return next(call["body"]["metadata"] for call in calls() if call["path"] == path)


def server() -> values.ServerSpec:
    """The recorded server, declared: what a person has set there, and what Incus itself found."""
    pools = tuple(
        values.PoolSpec(
            name=name,
            driver=shown["driver"],
            config=shown["config"],
        )
        for name in ("local", "remote")
        for shown in [answer_to(f"/1.0/storage-pools/{name}")]
    )
    return values.ServerSpec(config=answer_to("/1.0")["config"], pools=pools)


def instances() -> Iterator[values.InstanceSpec]:
    for shown in answer_to("/1.0/instances?recursion=1&all-projects=true"):
        yield values.InstanceSpec(
            name=shown["name"],
            pool=shown["expanded_devices"]["root"]["pool"],
            config={k: v for k, v in shown["config"].items() if not k.startswith("volatile.")},
        )


async def test_every_answer_is_the_recorded_one_but_for_the_table(tmp_path: Path) -> None:
    lab = Lab(*instances(), server=server()).booted(30.0)
    path, pacer = tmp_path / "unix.socket", Pacer(lab.clock, speed=SPEED)
    unexplained, used = [], set()
    ours: dict[str, str] = {}
    async with (
        pacer.running(),
        IncusFace(lab.model, pacer).serving(path),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path))) as session,
    ):
        for call in calls():
            request = f"{call['method']} {call['path']}"
            asked = re.sub(r"/1\.0/operations/[-0-9a-f]{36}", lambda m: ours[m[0]], call["path"])
            async with session.request(
                call["method"], f"http://incus{asked}", json=call["request"]
            ) as response:
                body = await response.json()
            if call["body"].get("operation"):
                ours[call["body"]["operation"]] = body["operation"]
            if (call["request"] or {}).get("action") == "stop":
                async with session.get(f"http://incus{body['operation']}/wait") as over:
                    await over.read()
            found = list(recorded.differences(call["body"], body))
            if response.status != call["status"]:
                found.append(f": status {response.status}, recorded {call['status']}")
            for difference in found:
                row = next(
                    (
                        row
                        for row in ON_PURPOSE
                        if re.fullmatch(row.request, request)
                        and re.fullmatch(row.differs, difference, re.DOTALL)
                    ),
                    None,
                )
                if row is None:
                    unexplained.append(f"{request} {difference[:300]}")
                else:
                    used.add(row)
    assert not unexplained, "\n".join(unexplained)
    stale = [row for row in ON_PURPOSE if row not in used]
    assert not stale, "differs no longer, so it must leave the table"


def test_a_warning_has_the_recorded_fields() -> None:
    lab = Lab()
    lab.model.warnings.upsert(POOL_UNAVAILABLE, "remote", "Node n1 is offline", project="")
    (row,) = lab.model.world.warnings
    real = answer_to("/1.0/warnings?recursion=1")[0]
    model = json.loads(json.dumps(views.warning(lab.model.world, row)))
    assert {key: type(value) for key, value in model.items()} == {
        key: type(value) for key, value in real.items()
    }
