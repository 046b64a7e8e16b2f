# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR probe against a port: it asks only what is safe, and a hung controller costs no more than its limit."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.snapshot import Liveness
from tidegate.probes import base, linstor

from .conftest import Fake

VERSION = {"version": "1.34.0", "rest_api_version": "1.28.0"}
ONE = base.Need(resources=(ResourceName("r0"),))


def placement(name: str) -> dict[str, object]:
    return {"name": name, "node_name": "n1", "layer_object": {"type": "STORAGE"}, "state": {}}


def fill(fake: Fake, resources: int = 1) -> None:
    fake.missing = [{"ret_code": -4611686018427387603, "message": "not found"}]
    fake.answers |= {
        "/v1/controller/version": VERSION,
        "/v1/nodes": [{"name": "n1", "connection_status": "ONLINE"}],
        "/v1/view/storage-pools": [{"storage_pool_name": "thin", "node_name": "n1"}],
        "/v1/resource-definitions": [{"name": f"r{n}"} for n in range(resources)],
    }
    for n in range(resources):
        fake.answers[f"/v1/resource-definitions/r{n}/resources"] = [placement(f"r{n}")]


class Rig:
    """A probe for a fake controller on a port that stays the same."""

    def __init__(self, fake: Fake, port: int) -> None:
        self.fake = fake
        self.port = port
        self.now = 100.0
        self.client = LinstorClient(Endpoints(urls=(f"http://127.0.0.1:{port}",)))

    def probe(self, deadline: float = 5.0) -> linstor.LinstorProbe:
        return linstor.LinstorProbe(
            self.client, node=NodeName("n1"), clock=lambda: self.now, deadline=deadline
        )


@pytest.fixture
async def rig(fake: Fake) -> AsyncIterator[Rig]:
    made = Rig(fake, await fake.on_port())
    yield made
    await made.client.aclose()


async def test_everything_on_the_first_look(rig: Rig) -> None:
    fill(rig.fake)
    seen = await rig.probe().look(ONE)
    assert (seen.liveness, seen.trouble, seen.at) == (Liveness.UP, None, 100.0)
    assert seen.controller is not None
    assert (seen.controller.version, seen.controller.url) == (
        "1.34.0",
        f"http://127.0.0.1:{rig.port}",
    )
    assert seen.nodes is not None
    assert seen.nodes["n1"].connection_status == "ONLINE"
    assert seen.storage_pools is not None
    assert set(seen.storage_pools) == {"thin"}
    assert seen.definitions is not None
    assert set(seen.definitions) == {"r0"}
    assert seen.placements is not None
    assert [placed.node for placed in seen.placements["r0"]] == ["n1"]


async def test_only_calls_that_ask_no_satellite(rig: Rig) -> None:
    fill(rig.fake)
    looked = rig.probe()
    await looked.look(ONE)
    await looked.look(base.Need(resources=ONE.resources, urgency=base.Urgency.REST))
    assert set(rig.fake.asked) == {
        "/v1/controller/version",
        "/v1/nodes",
        "/v1/view/storage-pools",
        "/v1/resource-definitions",
        "/v1/resource-definitions/r0/resources",
    }


async def test_what_changes_rarely_is_read_rarely(rig: Rig) -> None:
    fill(rig.fake)
    looked = rig.probe()
    await looked.look(ONE)
    rig.now += 1.0
    fast = await looked.look(ONE)
    assert fast.definitions is None
    assert fast.storage_pools, (
        "a pool is real again when its satellite is: nobody may wait for that to be noticed"
    )
    assert fast.placements
    rig.now += linstor.SELDOM
    assert (await looked.look(ONE)).definitions is not None


async def test_many_placements_are_read_in_turns_and_none_is_forgotten(rig: Rig) -> None:
    count = 100
    fill(rig.fake, count)
    need = base.Need(resources=tuple(ResourceName(f"r{n}") for n in range(count)))
    looked = rig.probe()
    await looked.look(need)
    seen: set[str] = set()
    for _ in range(3):
        rig.now += 0.25
        told = (await looked.look(need)).placements
        assert told is not None
        assert len(told) == linstor.PER_LOOK
        seen |= set(told)
    assert len(seen) == count


@pytest.mark.parametrize(("urgency", "gap"), [(base.Urgency.REST, 0.25), (base.Urgency.FAST, 10.0)])
async def test_at_rest_every_look_reads_all(rig: Rig, urgency: base.Urgency, gap: float) -> None:
    fill(rig.fake, 100)
    need = base.Need(resources=tuple(ResourceName(f"r{n}") for n in range(100)), urgency=urgency)
    looked = rig.probe()
    for _ in range(2):
        told = (await looked.look(need)).placements
        assert told is not None
        assert len(told) == 100
        rig.now += gap


async def test_a_look_that_runs_out_of_time_is_continued_by_the_next(rig: Rig) -> None:
    names = [f"r{n}" for n in range(8)]
    fill(rig.fake, len(names))
    paths = {f"/v1/resource-definitions/{name}/resources" for name in names[4:]}
    rig.fake.hanging |= paths
    need = base.Need(resources=tuple(map(ResourceName, names)), urgency=base.Urgency.REST)
    looked = rig.probe(deadline=0.4)
    first = await looked.look(need)
    assert first.placements is not None
    assert set(first.placements) == set(names[:4])
    rig.fake.hanging.clear()
    rig.fake.asked.clear()
    await looked.look(need)
    asked = [path.split("/")[3] for path in rig.fake.asked if path.endswith("/resources")]
    assert set(asked[:4]) == set(names[4:]), "those that were not read come first"


async def test_a_resource_that_is_gone_has_no_placements(rig: Rig) -> None:
    fill(rig.fake)
    seen = await rig.probe().look(base.Need(resources=(ResourceName("gone"),)))
    assert seen.liveness is Liveness.UP
    assert seen.placements == {"gone": ()}
    assert seen.trouble is None


async def test_one_call_that_fails_takes_nothing_else_along(rig: Rig) -> None:
    fill(rig.fake)
    path = "/v1/resource-definitions/r0/resources"
    rig.fake.answers[path] = [{"ret_code": -1, "message": "broken"}]
    rig.fake.status[path] = 500
    seen = await rig.probe().look(ONE)
    assert seen.liveness is Liveness.UP
    assert seen.placements == {}
    assert seen.nodes
    assert seen.trouble is not None
    assert "broken" in seen.trouble.text


async def test_a_hung_controller_is_lost_within_the_limit(rig: Rig) -> None:
    fill(rig.fake)
    rig.fake.hanging.add("*")
    async with asyncio.timeout(5.0):
        seen = await rig.probe(deadline=0.3).look(ONE)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "controller.timeout"
    assert seen.nodes is None


async def test_what_hangs_later_leaves_what_was_read(rig: Rig) -> None:
    fill(rig.fake, 2)
    rig.fake.hanging.add("/v1/resource-definitions/r0/resources")
    need = base.Need(resources=(ResourceName("r0"), ResourceName("r1")))
    async with asyncio.timeout(5.0):
        seen = await rig.probe(deadline=0.5).look(need)
    assert seen.liveness is Liveness.UP
    assert seen.nodes
    assert seen.placements is not None
    assert set(seen.placements) == {"r1"}
    assert seen.trouble is not None
    assert seen.trouble.code.endswith(".timeout")


async def test_refused_then_up_again(fake: Fake) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    rig = Rig(fake, port)
    looked = rig.probe()
    seen = await looked.look(ONE)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "controller.refused"
    fill(fake)
    await fake.on_port(port)
    assert (await looked.look(ONE)).liveness is Liveness.UP
    await rig.client.aclose()


async def test_without_any_controller(fake: Fake) -> None:
    del fake
    client = LinstorClient(Endpoints())
    looked = linstor.LinstorProbe(client, node=NodeName("n1"), clock=lambda: 1.0)
    seen = await looked.look(ONE)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "controller.none-configured"


async def test_what_the_kernel_knows_is_read_in_turn_at_rest() -> None:
    """500 volumes at rest cost an eighth of 500 calls; those with a peer away are read at every look."""
    names = tuple(ResourceName(f"r{number}") for number in range(16))
    need = base.Need(
        resources=names, certain=frozenset(names) - {names[3]}, urgency=base.Urgency.REST
    )
    now = [1.0]
    probe = linstor.LinstorProbe(
        LinstorClient(Endpoints(urls=("http://127.0.0.1:1",))),
        node=NodeName("n1"),
        clock=lambda: now[0],
    )
    assert set(probe._share(need, resting=True)) == set(names), "all, the first time"
    probe._known = set(names)
    shares = []
    for _ in range(linstor.IN_TURN):
        shares.append(probe._share(need, resting=True))
        assert probe._share(need, resting=True) == [names[3]], "a look that a hint brought about"
        now[0] += linstor.TURN_EVERY
    assert all(names[3] in share and len(share) <= 3 for share in shares)
    assert set().union(*shares) == set(names)
