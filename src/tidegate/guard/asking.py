# SPDX-License-Identifier: Apache-2.0
"""What the guard asks the agent, and how: one line of JSON each way over a unix socket, a new connection per question.

The agent is the only prober. Without its answer within :data:`ANSWER_WITHIN` the controller's own answer passes (contract.md,
processes and truth): so a question never raises, and never takes longer.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import msgspec

from tidegate.core.ids import ResourceName
from tidegate.guard.bar import Ruling
from tidegate.guard.volumes import Held

SOCKET: Final = "guarding.sock"
"""In the agent's run directory."""
ANSWER_WITHIN: Final = 0.3
"""Seconds for connection, question and answer together."""
PATIENCE: Final = 0.2
"""Seconds within :data:`ANSWER_WITHIN` for which the agent may wait for better news."""
KNOCK_FOR: Final = 0.5
"""Seconds for which an agent that is not there yet is waited for, once in the guard's life: the two start beside each other, and a
pool that is let through for want of an agent costs its instances' attempts. Not more than what safety 11 allows."""
KNOCK_EVERY: Final = 0.02
LONGEST: Final = 4 * 1024 * 1024
"""Bytes of an answer; the longest holds some 200 for each resource definition of the cluster."""
_log = logging.getLogger("tidegate.guard")

T = TypeVar("T")


class AskState(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """How do the controllers stand?"""

    secret: str = ""
    """What shows that the guard asks, where the kernel cannot: the secret of ``guard.json``."""


class AskMount(msgspec.Struct, frozen=True, kw_only=True, tag="mount"):
    """The controller says ONLINE, and Incus wants to mount a pool: may it be told?"""

    checked: bool = False
    """The controller's own lists of volumes were looked at (`Mount.check`)."""
    flaw: str = ""
    """What is wrong with one of them."""
    secret: str = ""
    patience: float = PATIENCE


class AskVolumes(msgspec.Struct, frozen=True, kw_only=True, tag="volumes"):
    """May the volumes of this resource be used?"""

    resource: ResourceName
    paths: Mapping[str, str] = {}
    """Volume number -> device, as the controller has just named them; empty when it has not yet."""
    secret: str = ""
    patience: float = PATIENCE


class AskLocal(msgspec.Struct, frozen=True, kw_only=True, tag="local"):
    """What can be answered on local truth?"""

    resource: ResourceName | None = None
    secret: str = ""


Question: TypeAlias = AskState | AskMount | AskVolumes | AskLocal


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How the controllers stand in the agent's eyes."""

    controller: str
    """``up``, ``new`` (not heard of yet), ``lost``, …: a :class:`~tidegate.core.snapshot.Liveness`."""
    text: str = ""
    """What is wrong with them."""
    recovers: bool = False
    """The agent brings back what Incus could not mount or start."""
    lenient: bool = False
    """Recovery mounts a pool that was turned away, and does not want one mounted now: a quick error costs nobody anything."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the controller's ONLINE."""

    ruling: Ruling
    settling: bool = False
    """The agent has not looked at everything yet: it is worth asking again in a moment."""
    check: tuple[ResourceName, ...] = ()
    """All is ready as far as the agent sees; that the controller also names these resources' volumes to Incus, only the guard can
    see. Nothing is decided before it has asked again, ``checked``."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A resource definition as it was kept."""

    name: ResourceName
    resource_group: str
    aux_name: str
    aux_type: str
    """Both "" of one that Incus has not made."""
    aux_content: str = ""


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows without any controller (contract.md: opt-in, DRBD only)."""

    node: str = ""
    version: str = ""
    """Of the controller that answered last; "" when never."""
    rest_api_version: str = ""
    ready: bool = False
    """The pool may be mounted, by the kernel's word (`recovery.local_truth.may_mount`)."""
    definitions: tuple[Definition, ...] = ()
    devices: Mapping[str, str] = {}
    """Of the resource asked for: volume number -> DRBD's device, resolved now and opened; empty when it may not be used."""
    text: str = ""
    """Why not."""


Said: TypeAlias = State | Mount | Held | Local


class Agent:
    """The way to the agent, whose socket is in ``run_dir``. ``knock``: seconds for which it may still be coming up."""

    def __init__(
        self,
        run_dir: Path,
        secret: str = "",
        *,
        within: float = ANSWER_WITHIN,
        knock: float = KNOCK_FOR,
    ) -> None:
        self._path = run_dir / SOCKET
        self._secret = secret
        self._within = within
        self._knock = knock
        self._silent = False

    async def state(self) -> State | None:
        """Return how the controllers stand; None when the agent does not answer in time."""
        return await self._ask(AskState(secret=self._secret), State)

    async def mount(self, *, checked: bool = False, flaw: str = "") -> Mount | None:
        """Return what becomes of an ONLINE; None when the agent does not answer in time."""
        question = AskMount(secret=self._secret, checked=checked, flaw=flaw)
        return await self._ask(question, Mount)

    async def volumes(self, resource: ResourceName, paths: Mapping[str, str]) -> Held | None:
        """Return whether the volumes of ``resource`` may be used; None when the agent does not answer in time."""
        question = AskVolumes(secret=self._secret, resource=resource, paths=paths)
        return await self._ask(question, Held)

    async def local(self, resource: ResourceName | None = None) -> Local | None:
        """Return what can be said without a controller; None when the agent does not answer in time."""
        return await self._ask(AskLocal(secret=self._secret, resource=resource), Local)

    async def _ask(self, question: Question, kind: type[T]) -> T | None:
        await self._arrived()
        try:
            async with asyncio.timeout(self._within):
                line = await self._exchange(msgspec.json.encode(question) + b"\n")
            said = msgspec.json.decode(line, type=kind)
        except (OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            self._tell(error)
            return None
        if self._silent:
            self._silent = False
            _log.info("the agent answers again", extra={"TIDEGATE_CODE": "guard.agent-answers"})
        return said

    async def _arrived(self) -> None:
        """Wait until the agent's socket is there, the first time that anything is asked; for a moment only."""
        patience, self._knock = self._knock, 0.0
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while patience and loop.time() < until and not self._path.exists():  # noqa: ASYNC110  nobody tells that an agent came
            await asyncio.sleep(KNOCK_EVERY)

    async def _exchange(self, line: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LONGEST)
        try:
            writer.write(line)
            return await reader.readline()
        finally:
            writer.close()

    def _tell(self, error: Exception) -> None:
        if self._silent:
            return
        self._silent = True
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        _log.warning(
            "the agent does not answer at %s (%s): the controller's own answers pass",
            self._path,
            reason or type(error).__name__,
            extra={"TIDEGATE_EVENT": "guard-agent", "TIDEGATE_CODE": "guard.no-agent"},
        )
