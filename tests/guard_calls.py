# SPDX-License-Identifier: Apache-2.0
"""Calls and answers as the guard's rules see them, and an agent that says what a test wants."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tidegate.core.ids import ResourceName
from tidegate.guard.asking import Local, Mount, State
from tidegate.guard.bar import Ruling, Why
from tidegate.guard.interface import Answer, Call, Peer
from tidegate.guard.volumes import Held

UP = State(controller="up", recovers=True)
PASSES = Mount(ruling=Ruling(changed=False, why=Why.READY))
NOT_READY = Mount(ruling=Ruling(changed=True, why=Why.NOT_READY, text="0 of 3 ready"))
NODE = {"name": "n1", "type": "SATELLITE", "props": {"a": "1"}, "connection_status": "ONLINE"}


def call(method: str, target: str, *, at: float = 0.0, body: bytes = b"") -> Call:
    path, _, query = target.partition("?")
    return Call(
        method=method,
        target=target,
        segments=tuple(unquote(part) for part in path.removeprefix("/").split("/")),
        query=query,
        headers=(),
        body=body,
        peer=Peer(where="127.0.0.1:40000", uid=0),
        arrived_at=at,
    )


def answer(found: Any, status: int = 200, **more: Any) -> Answer:
    body = found if isinstance(found, bytes) else msgspec.json.encode(found)
    return Answer(status=status, body=body, **more)


def volumes(*paths: str | None) -> Answer:
    """An answer to ``…/volumes`` with these devices."""
    found: list[dict[str, Any]] = [
        {"volume_number": number, "provider_kind": "LVM_THIN"} for number in range(len(paths))
    ]
    for one, path in zip(found, paths, strict=True):
        if path is not None:
            one["device_path"] = path
    return answer(found)


LOST = answer([{"ret_code": -4611686018427386906, "error_report_ids": ["A-000001"]}], status=500)
"""What a GET gets whose satellite is lost while it waits (tests/data/linstor; facts/linstor-observed.md A2)."""


class Agent:
    """An agent whose words a test sets; None: it does not answer. ``asked`` counts its questions."""

    def __init__(
        self,
        *,
        state: State | None = UP,
        mount: Mount | None = PASSES,
        held: Callable[[], Held | None] | Held | None = None,
        local: Local | None = None,
    ) -> None:
        self.said_state, self.said_mount, self.said_held, self.said_local = (
            state,
            mount,
            held,
            local,
        )
        self.asked: list[str] = []
        self.paths: Mapping[str, str] = {}

    async def state(self) -> State | None:
        self.asked.append("state")
        return self.said_state

    async def mount(self, *, checked: bool = False, flaw: str = "") -> Mount | None:
        self.asked.append("mount" if not checked else f"checked {flaw}".strip())
        return NOT_READY if flaw else PASSES if checked else self.said_mount

    async def volumes(self, _resource: ResourceName, paths: Mapping[str, str]) -> Held | None:
        self.asked.append("volumes")
        self.paths = paths
        return self.said_held() if callable(self.said_held) else self.said_held

    async def local(self, _resource: ResourceName | None = None) -> Local | None:
        self.asked.append("local")
        return self.said_local


class Controller:
    """A controller that is asked again while a call is reviewed: gives ``answers`` in turn, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str | None, str | None]] = []

    async def __call__(
        self, *, limit: float, target: str | None = None, method: str | None = None
    ) -> Answer:
        assert limit > 0
        self.asked.append((method, target))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
