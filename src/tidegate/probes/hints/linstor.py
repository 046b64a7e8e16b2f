# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR controller's server-sent events: what a resource of this node may do, and nodes that come, go or are changed.

None tells of a node's connection status: that is polled (facts/linstor.md 4.7).
"""

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from tidegate.clients import errors
from tidegate.clients.linstor import sse
from tidegate.clients.linstor.client import LinstorClient
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.hints import base

PROMOTION: Final = "/v1/events/drbd/promotion"
NODES: Final = "/v1/events/nodes"

_WORK: Final = 10


class _Promotion(msgspec.Struct, frozen=True):
    node_name: str = ""


_promotion: Final = msgspec.json.Decoder(_Promotion)


class LinstorListener:
    """Listens to the stream ``path`` of whichever controller is in use.

    ``client`` and ``node`` give the way to LINSTOR and this node's name there, as known at the moment: both may be found out later.
    """

    wakes: Final = frozenset({Source.LINSTOR})

    def __init__(
        self, path: str, *, client: Callable[[], LinstorClient], node: Callable[[], NodeName]
    ) -> None:
        self.name = f"LINSTOR's {path}"
        self._path = path
        self._client = client
        self._node = node

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True while a controller answers."""
        return snapshot.source(Source.LINSTOR).liveness is Liveness.UP

    async def listen(self, hear: base.Hear) -> None:
        """Listen until the controller ends the stream."""
        stream = self._client().events(
            self._path, opened=lambda: hear(base.Heard(wakes=self.wakes, work=_WORK))
        )
        async with contextlib.aclosing(stream):
            async for event in stream:
                wakes = self.wakes if concerns(event, self._node()) else frozenset()
                hear(base.Heard(wakes=wakes, work=_WORK))


def concerns(event: sse.Event, node: NodeName) -> bool:
    """Return True when the event is about ``node``, or cannot be told apart. Pure.

    In a cluster of many nodes each that restarts tells of all its resources; those of others are none of our business.
    """
    if event.name != "may-promote-change":
        return True
    try:
        return _promotion.decode(event.data).node_name.casefold() in {"", node.casefold()}
    except errors.UNREADABLE:
        return True
