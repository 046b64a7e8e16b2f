"""Our own LINSTOR client on the model's face: every call is understood, every fault is the trouble it should be."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.clients.errors import ClientError
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.sim import faults
from tidegate.sim.faces import linstor_http


@asynccontextmanager
async def talking(
    *found: Fault, timings: faults.Timings = faults.INSTANT, scale: float = 1.0
) -> AsyncIterator[tuple[LinstorClient, linstor_http.LinstorFace]]:
    face = linstor_http.LinstorFace(worlds.build(*found, timings=timings), scale)
    await face.start()
    client = LinstorClient(Endpoints(urls=(face.url,)))
    try:
        yield client, face
    finally:
        await client.aclose()
        await face.stop()


async def test_every_reading_call_is_understood() -> None:
    async with talking() as (client, _):
        assert (await client.version()).rest_api_version == "1.28.0"
        assert (await client.health()).is_ok
        assert [n.name for n in await client.nodes()] == ["n1", "n2"]
        assert (await client.node("n1")).connection_status == "ONLINE"
        wanted = ["Aux/Incus/name=incus-volume-c1", "Aux/Incus/type=containers"]
        (definition,) = await client.resource_definitions(
            props=wanted, with_volume_definitions=True
        )
        data = definition.volume_definitions[0].layer_data[0].data
        assert data is not None
        assert (definition.name, data.minor_number) == ("r1", 1001)
        assert [p.node_name for p in await client.placements("r1")] == ["n1", "n2"]
        placement = await client.placement("r1", "n1")
        assert placement.layer_object is not None
        assert placement.layer_object.drbd is not None
        assert placement.layer_object.drbd.promotion_score == 10102
        assert {p.storage_pool_name for p in await client.storage_pools()} == {
            "pool",
            "DfltDisklessStorPool",
        }
        assert [v.device_path for v in await client.volumes("r1", "n1")] == ["/dev/drbd1001"]
        assert len(await client.view_resources(["n1"])) == 3


async def test_the_changing_calls_are_understood() -> None:
    async with talking() as (client, _):
        assert [e.ret_code for e in await client.make_available("r1", "n1")] == [20185088]
        told = [e.message for e in await client.reconnect("n1")]
        assert told == ["Nodes [n1] will be reconnected.", "Node 'n1' authenticated"]


async def test_the_promotion_stream_is_understood() -> None:
    async with talking() as (client, _):
        stream = client.events("/v1/events/drbd/promotion", last_event_id="current")
        async with contextlib.aclosing(stream):
            event = await anext(stream)
        assert event.name == "may-promote-change"
        assert '"resource_name":"r0"' in event.data


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(kind=FaultKind.CONTROLLER_REFUSES), "controller.refused"),
        (Fault(kind=FaultKind.CONTROLLER_HANGS), "controller.timeout"),
        (Fault(kind=FaultKind.CONTROLLER_500), "controller.error"),
        (Fault(kind=FaultKind.CONTROLLER_500, body="truncated"), "controller.not-linstor"),
    ],
)
async def test_every_fault_of_a_controller_is_trouble_with_a_code(fault: Fault, code: str) -> None:
    async with talking(fault) as (client, _):
        with pytest.raises(ClientError) as raised:
            await client.node("n1", deadline=0.3)
        assert raised.value.trouble.code == code


async def test_what_is_not_there_is_not_found() -> None:
    async with talking() as (client, _):
        with pytest.raises(ClientError) as raised:
            await client.placement("r9", "n1")
        assert raised.value.trouble.code == "controller.not-found"


async def test_a_satellite_lost_while_we_wait_is_its_own_trouble() -> None:
    """facts/linstor-observed.md A2."""
    fault = Fault(kind=FaultKind.SATELLITE_MUTE, subject="n1", start=60, end=900)
    one = worlds.build(fault, timings=faults.TYPICAL)
    worlds.advance(one, 60.5)
    face = linstor_http.LinstorFace(one, 50)
    await face.start()
    client = LinstorClient(Endpoints(urls=(face.url,)))
    with pytest.raises(ClientError) as raised:
        await client.volumes("r1", "n1")
    assert raised.value.trouble.code == "controller.lost-satellite"
    await client.aclose()
    await face.stop()
