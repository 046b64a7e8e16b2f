# SPDX-License-Identifier: Apache-2.0
"""A controller's events wake LINSTOR when they are about this node."""

import json

import pytest
from tests.unit.clients import faults
from tests.unit.clients.controllers import client_of

from tidegate.clients import errors
from tidegate.clients.linstor import sse
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Source
from tidegate.probes.hints.base import Heard
from tidegate.probes.hints.linstor import PROMOTION, LinstorListener, concerns

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
NODE = NodeName("n1")


def promotion(**data: object) -> sse.Event:
    return sse.Event(name="may-promote-change", data=json.dumps(data))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (promotion(resource_name="r", node_name="n1", may_promote=True), True),
        (promotion(resource_name="r", node_name="N1"), True),
        (promotion(resource_name="r", node_name="n2", may_promote=True), False),
        (promotion(resource_name="r"), True),
        (sse.Event(name="may-promote-change", data="not json"), True),
        (sse.Event(name="node-modified", data="{}"), True),
    ],
)
def test_whom_an_event_concerns(event: sse.Event, expected: bool) -> None:
    assert concerns(event, NODE) is expected


async def test_it_wakes_when_the_stream_opens_and_for_this_node() -> None:
    texts = [
        f"event: {one.name}\ndata: {one.data}\n\n".encode()
        for one in (promotion(node_name="n2"), promotion(node_name="n1"))
    ]
    heard: list[Heard] = []
    async with (
        faults.serve(faults.answer(HEAD, *texts)) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        listener = LinstorListener(PROMOTION, client=lambda: client, node=lambda: NODE)
        with pytest.raises(errors.ClientError) as caught:
            await listener.listen(heard.append)
    assert caught.value.code == "controller.disconnected"
    assert [bool(one.wakes) for one in heard] == [True, False, True]
    assert heard[0].wakes == {Source.LINSTOR}
