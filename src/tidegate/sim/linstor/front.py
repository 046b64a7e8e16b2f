# SPDX-License-Identifier: Apache-2.0
"""The world as Incus's ``linstor`` driver meets it: pool mount and volume preparation, in the driver's steps and words.

Sources: facts/incus.md 2.3, 4.3 to 4.6, 6.3; facts/observed.md (s0 to s10). Implements :class:`tidegate.sim.storage.StorageFront`.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING
from urllib.parse import quote

from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor.answer import Answer, Request, Wait
from tidegate.sim.linstor.api import Api
from tidegate.sim.storage import ContentType, Done, Failed, Hangs, IncusVolume, Reply, VolumeKind

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind
_SYN_AGAIN = (1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0)
"""Seconds after the first SYN when Linux sends it again; after the last one it gives up."""
_MOUNT_TRIES = 10.0
"""Seconds that Incus tries mount(2), 20 times half a second apart (facts/incus.md L71)."""
_LIST = "list"
_PANIC = "panic: runtime error: index out of range [0] with length 0"
Steps = Generator[Wait, None, Reply]


class LinstorFront:
    """One incusd's view of one LINSTOR pool.

    Attributes:
        world: the cluster.
        pool: Incus's pool, and LINSTOR's resource group.
        url: the controller, as in ``storage.linstor.controller_connection``.
        prefix: ``linstor.volume.prefix``.
    """

    def __init__(
        self,
        world: worlds.LinstorWorld,
        *,
        pool: str = "remote",
        url: str = "http://127.0.0.1:3370",
        prefix: str = "incus-volume-",
    ) -> None:
        self.world = world
        self.pool = pool
        self.url = url
        self.prefix = prefix
        self._api = Api(world)
        self._client = False
        self._syn: float | None = None
        self._pending: dict[str, list[Reply]] = {}

    def restarted(self) -> None:
        """A new incusd process: the client must be made again."""
        self._client = False
        self._syn = None
        self._pending.clear()

    # --- StorageFront ----------------------------------------------------------------------------
    def load_driver(self) -> Failed | None:
        """Look for the DRBD module (facts/incus.md 2.3)."""
        if not self.world.module_loaded():
            return Failed(text="Could not determine DRBD module version: Module not loaded")
        return None

    def mount_pool(self) -> Reply:
        """Load the driver, make the client, ask for the own node."""
        return self.load_driver() or self._ask("pool", self._mount())

    def list_volumes(self) -> Reply:
        """Ask for all resource definitions (facts/incus.md L60)."""
        return self._ask(_LIST, self._list())

    def prepare_volume(self, volume: IncusVolume) -> Reply:
        """The REST triple, open(2), mount(2) (facts/incus.md L52, L70, L71)."""
        key = f"{volume.kind}/{volume.name}/{volume.content}"
        return self._ask(key, self._prepare(volume))

    # --- transport -------------------------------------------------------------------------------
    def _ask(self, key: str, steps: Steps) -> Reply:
        """Begin, or go on with, what ``key`` names; a reply that is not there yet is a hang."""
        box = self._pending.get(key)
        if box is None:
            trouble = self._transport(self._first_path(key))
            if trouble is not None:
                return trouble
            box = self._pending[key] = []
            self.world.calls.start(_as_call(steps, box), lambda _answer: None)
        else:
            self.world.calls.poke()
        if box:
            # Two who asked the same (Incus's own minute and a validate) are answered together.
            self._pending.pop(key, None)
            return box[0]
        return Hangs(until=self.world.clock.next_due())

    def _transport(self, path: str) -> Reply | None:
        """What happens below HTTP; None: the controller answers."""
        world = self.world
        if world.fault(_KIND.CONTROLLER_REFUSES) is not None:
            return self._unreachable(path, "connect: connection refused")
        if world.fault(_KIND.CONTROLLER_HANGS) is not None:
            return Hangs(until=world.ends((_KIND.CONTROLLER_HANGS,)))
        return self._black_hole(path)

    def _black_hole(self, path: str) -> Reply | None:
        """SYNs vanish; once they no longer do, the next one sent again gets through (s7: 26 s later)."""
        world = self.world
        hidden = world.fault(_KIND.CONTROLLER_BLACK_HOLE) is not None
        if self._syn is None:
            if not hidden:
                return None
            self._syn = world.now
        sent = [self._syn + again for again in _SYN_AGAIN]
        if world.now >= sent[-1]:
            self._syn = None
            return self._unreachable(path, "connect: connection timed out")
        if hidden or world.now not in sent:
            return Hangs(until=next(moment for moment in sent if moment > world.now))
        self._syn = None
        return None

    def _first_path(self, key: str) -> str:
        """The first request of what ``key`` names, for the text of a connection error."""
        if key == "pool":
            return f"/v1/nodes/{self.world.local}"
        if key == _LIST:
            return "/v1/resource-definitions"
        kind, name, _ = key.rsplit("/", 2)
        props = f"Aux/Incus/name={self.prefix}{name}", f"Aux/Incus/type={kind}"
        return "/v1/resource-definitions?" + "&".join(f"props={quote(p, safe='')}" for p in props)

    def _unreachable(self, path: str, why: str) -> Failed:
        host = self.url.split("//", 1)[1]
        if not self._client:
            path = "/v1/controller/version"
        text = f'Get "{self.url}{path}": dial tcp {host}: {why}'
        return Failed(text=self._explained(text, path), unavailable=True)

    def _explained(self, text: str, path: str) -> str:
        if not self._client:
            return f"Failed to connect to Linstor: Failed to create Linstor client: {text}"
        return text if path.startswith("/v1/nodes") else f"Could not mount volume: {text}"

    def _call(self, method: str, path: str, **query: list[str]) -> Generator[Wait, None, Answer]:
        body = b"{}" if method == "POST" else b""
        return self._api.call(Request(method=method, path=path, query=query, body=body))

    # --- steps -----------------------------------------------------------------------------------
    def _connect(self) -> Generator[Wait, None, Failed | None]:
        """Make the client if there is none yet."""
        if self._client:
            return None
        answer = yield from self._call("GET", "/v1/controller/version")
        if answer.status != 200:
            text = self._explained(error_text(answer), "")
            return Failed(text=text, unavailable=True)
        self._client = True
        return None

    def _mount(self) -> Steps:
        failed = yield from self._connect()
        if failed is not None:
            return failed
        local = self.world.local
        answer = yield from self._call("GET", f"/v1/nodes/{local}")
        if answer.status != 200:
            return Failed(text=error_text(answer), unavailable=True)
        if answer.body["connection_status"] != "ONLINE":
            return Failed(text=f"Node {local} is offline", unavailable=True)
        return Done()

    def _list(self) -> Steps:
        failed = yield from self._connect()
        if failed is not None:
            return failed
        answer = yield from self._call("GET", "/v1/resource-definitions")
        if answer.status != 200:
            return Failed(text=error_text(answer))
        return Done()

    def _prepare(self, volume: IncusVolume) -> Steps:
        failed = yield from self._connect()
        if failed is not None:
            return failed
        name = f"Aux/Incus/name={self.prefix}{volume.name}"
        props = [name, f"Aux/Incus/type={volume.kind}"]
        answer = yield from self._call("GET", "/v1/resource-definitions", props=props)
        if answer.status != 200:
            return Failed(text=f"Could not mount volume: {error_text(answer)}")
        if not answer.body:
            return Failed(text="Could not mount volume: Resource definition not found")
        path = f"/v1/resource-definitions/{answer.body[0]['name']}/resources/{self.world.local}"
        answer = yield from self._call("POST", f"{path}/make-available")
        if answer.status != 200:
            text = "Could not mount volume: Could not make resource available on node:"
            return Failed(text=f"{text} {error_text(answer)}")
        answer = yield from self._call("GET", f"{path}/volumes")
        if answer.status != 200:
            text = "Could not mount volume: Unable to get Linstor volumes:"
            return Failed(text=f"{text} {error_text(answer)}")
        config = volume.kind is VolumeKind.VIRTUAL_MACHINES
        number = int(config and volume.content is ContentType.FILESYSTEM)
        if len(answer.body) <= number:
            return Failed(text=_PANIC, panics=True)
        return self._use(volume, answer.body[number].get("device_path", ""))

    def _use(self, volume: IncusVolume, path: str) -> Reply:
        """Open and mount what the controller named, whatever it is (facts/incus.md L73)."""
        world = self.world
        number = world.open(path)
        if number:
            return Failed(text=f"open {path}: {devices.ERRNO_TEXT.get(number, f'errno {number}')}")
        file = world.trees[world.local].find(path)
        assert file is not None
        world.replication.promote(world.local, file.resource, drbd.Role.PRIMARY)
        if volume.content is ContentType.FILESYSTEM and file.signature == "":
            target = f"/var/lib/incus/storage-pools/{self.pool}/{volume.kind}/{volume.name}"
            world.replication.promote(world.local, file.resource, drbd.Role.SECONDARY)
            text = f'Failed to mount "{path}" on "{target}" using "ext4": invalid argument'
            return Failed(text=text, took=_MOUNT_TRIES)
        return Done()


def _as_call(steps: Steps, box: list[Reply]) -> Generator[Wait, None, Answer]:
    box.append((yield from steps))
    return Answer()


def error_text(answer: Answer) -> str:
    """A refusal as golinstor words it (facts/incus.md L36): 404 loses its body."""
    if answer.status == 404:
        return "404 Not Found"
    if isinstance(answer.body, str):
        try:
            json.loads(answer.body)
        except ValueError:
            first = answer.body[:1]
            html = f"invalid character '{first}' looking for beginning of value"
            return html if first == "<" else "unexpected EOF"
    texts = []
    for item in answer.body:
        names = {"message": "Message", "cause": "Cause", "details": "Details"}
        names["correction"] = "Correction"
        parts = [f"{word}: '{item[key]}'" for key, word in names.items() if item.get(key)]
        if item.get("error_report_ids"):
            parts.append(f"Reports: '[{' '.join(item['error_report_ids'])}]'")
        texts.append("; ".join(parts))
    return " next error: ".join(texts)
