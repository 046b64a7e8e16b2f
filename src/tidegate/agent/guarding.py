# SPDX-License-Identifier: Apache-2.0
"""The agent's side of the guard: answers its questions on a socket of their own, within 300 ms, from what is known at the moment.

A question may wait a little for better news, because the guard would only ask again. What must outlive the agent within a boot (the
bar, what runs) lies in the run directory, what must outlive the boot in the state directory.
"""

import asyncio
import hmac
import json
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from tidegate.agent import guardview
from tidegate.agent.control import ControlSocket, SocketUnusable
from tidegate.agent.guardview import Kept, Memory
from tidegate.agent.loop import Loop
from tidegate.agent.observer import Observer
from tidegate.clients import errors, files
from tidegate.clients.devices.client import DeviceClient
from tidegate.config.model import Config
from tidegate.core.facts import DefinitionFacts
from tidegate.core.finding import Report
from tidegate.core.ids import BootId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.guard import asking
from tidegate.guard.asking import AskLocal, AskMount, AskState, AskVolumes, Local, Mount
from tidegate.guard.bar import Why
from tidegate.guard.volumes import Held
from tidegate.health.wants import LINSTOR_DRIVER
from tidegate.probes import devices as device_probe
from tidegate.recovery import local_truth
from tidegate.recovery.choose import Verdict

MEMORY: Final = "guarding.json"
KEPT: Final = "guarded.json"
LEASE: Final = 10.0
"""Seconds for which a pool may be mounted after recovery last said that it wants one (contract.md, processes and truth)."""
MOST_PATIENCE: Final = 0.25
"""Seconds: less than the guard waits for an answer, whatever it asks for."""
PROGRAMS: Final = (
    "usr/libexec/incus/incusd",
    "opt/incus/bin/incusd",
    "usr/local/bin/incusd",
    "usr/bin/incusd",
    "usr/sbin/incusd",
    "usr/lib/incus/incusd",
)
"""Where incusd's program is: Debian's place, Zabbly's, and what others use (facts/incus.md 1)."""
_log = logging.getLogger("tidegate.guarding")

T = TypeVar("T", bound=msgspec.Struct)


class Scene(Protocol):
    """What is known, as the agent's loop has it."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""

    @property
    def report(self) -> Report:
        """What it is worth."""

    async def next_report(self) -> Report:
        """Return the next report when it is there."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent's side of the guard must know."""

    run_dir: Path
    state_dir: Path
    root: Path = Path("/")
    """Below which incusd's program is looked for."""
    boot_id: BootId
    bar_limit: float
    local_truth: bool
    acts: bool
    """This agent recovers pools and instances by itself."""


class Guarding:
    """Answers the guard. ``wake`` has sources looked at now; ``boottime`` gives seconds since boot."""

    def __init__(
        self,
        scene: Scene,
        settings: Settings,
        *,
        wake: Callable[..., None],
        devices: DeviceClient,
        boottime: Callable[[], float],
    ) -> None:
        self._scene = scene
        self._settings = settings
        self._wake = wake
        self._devices = devices
        self._boottime = boottime
        self._leased_until = float("-inf")
        self._memory = self._load_memory()
        self._kept: Kept | None = _load(settings.state_dir / KEPT, Kept)
        if self._kept is not None and self._kept.format != guardview.FORMAT:
            self._kept = None
        self._unsaved: set[str] = set()
        self._drawn: tuple[object, ...] = ()
        self._drawn_anew = asyncio.Event()

    # --- what the agent's loop says ---------------------------------------------------------------

    def saw(self, snapshot: Snapshot, report: Report, *, wants_mount: bool) -> None:
        """Take in a cycle of the loop. ``wants_mount``: recovery wants a pool mounted that can be."""
        if wants_mount:
            self._leased_until = self._boottime() + LEASE
        self._remember(guardview.noticed(self._memory, guardview.running(snapshot, report)))
        seen = guardview.essence(snapshot)
        if seen == self._drawn:
            return
        self._drawn = seen
        kept = guardview.draw(snapshot, self._kept, binary(self._settings.root))
        if kept is not None and kept != self._kept:
            self._kept = kept
            self._drawn_anew.set()

    def heard(self, snapshot: Snapshot, report: Report, verdicts: Sequence[Verdict]) -> None:
        """Take in a cycle of the loop, as `Loop.heard` is told."""
        pools = (one.standing for one in verdicts if one.standing.pool is not None)
        wants = any(
            one.can and one.pool is not None and one.pool.driver == LINSTOR_DRIVER for one in pools
        )
        self.saw(snapshot, report, wants_mount=wants)

    @property
    def leased(self) -> bool:
        """Recovery wants a pool mounted."""
        return self._boottime() < self._leased_until

    # --- what the guard asks ----------------------------------------------------------------------

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the one answer to a question of `guard.asking`; an error for anything else."""
        try:
            question = msgspec.convert(request, asking.Question)
        except msgspec.ValidationError as error:
            yield {"error": str(error)}
            return
        yield msgspec.to_builtins(await self._answer(question))

    async def _answer(self, question: asking.Question) -> asking.Said:
        match question:
            case AskState():
                acts = self._acts()
                lenient = acts and not self.leased and self._memory.bar.over is None
                return guardview.state(self._scene.snapshot, recovers=acts, lenient=lenient)
            case AskMount():
                return await self._mount(question, _patience(question.patience))
            case AskVolumes():
                return await self._volumes(question, _patience(question.patience))
            case AskLocal():
                return self._local(question)

    async def _mount(self, question: AskMount, patience: float) -> Mount:
        until = self._boottime() + patience
        while True:
            snapshot, report = self._scene.snapshot, self._scene.report
            found = guardview.standing(
                snapshot,
                report,
                self._memory,
                acts=self._acts(),
                lease=self.leased,
                exempt=guardview.exempt(snapshot, self._kept, binary(self._settings.root)),
            )
            if question.flaw and found.ready:
                found = msgspec.structs.replace(found, ready=False, sentence=question.flaw)
            memory, said = guardview.ruling(
                self._memory, found, self._boottime(), self._settings.bar_limit
            )
            wanted = local_truth.wanted_resources(report)
            if said.ruling.why is Why.READY and not question.checked and wanted:
                # Not remembered: it is decided when the guard has looked at the lists and asks again.
                return msgspec.structs.replace(said, check=wanted)
            settling = said.ruling.changed and guardview.is_settling(snapshot, report)
            if question.flaw or not said.ruling.changed or not await self._news(until):
                if not settling:
                    self._remember(memory)
                return msgspec.structs.replace(said, settling=settling)

    async def _volumes(self, question: AskVolumes, patience: float) -> Held:
        until = self._boottime() + patience
        while True:
            snapshot, report = self._scene.snapshot, self._scene.report
            if not guardview.knows(report, question.resource):
                return await self._unknown(question.paths, patience)
            held = guardview.held(
                snapshot,
                report,
                self._memory,
                question.resource,
                question.paths,
                local_truth=self._settings.local_truth,
            )
            other = any(held.paths.get(n, path) != path for n, path in question.paths.items())
            if other:
                self._wake(Source.LINSTOR, Source.DEVICES)
            if held.in_use or (held.ready and not other) or not await self._news(until):
                return held

    async def _unknown(self, paths: Mapping[str, str], patience: float) -> Held:
        """Look at devices of which the agent knows nothing: it can say that they are there and open, no more."""
        try:
            async with asyncio.timeout(patience):
                seen = {
                    number: device_probe.facts(await self._devices.examine(path))
                    for number, path in paths.items()
                }
        except TimeoutError:
            text = f"opening {', '.join(paths.values())} takes long"
            return Held(ready=False, known=False, code="device.open-hangs", text=text)
        except errors.ClientError as error:
            return Held(ready=True, known=False, code=error.code, text=error.trouble.text)
        return guardview.looked(seen)

    def _local(self, question: AskLocal) -> Local:
        snapshot, report, kept = self._scene.snapshot, self._scene.report, self._kept or Kept()
        if snapshot.source(Source.LINSTOR).liveness is Liveness.UP:
            return Local(text="a controller answers")
        devices = (
            local_truth.devices(snapshot, report, question.resource)
            if question.resource is not None
            else {}
        )
        return Local(
            node=snapshot.node,
            version=kept.version,
            rest_api_version=kept.rest_api_version,
            ready=local_truth.may_mount(snapshot, report, leased=self.leased),
            definitions=tuple(one for one in kept.definitions if one.aux_name and one.aux_type),
            devices=devices,
        )

    async def _news(self, until: float) -> bool:
        """Wait for the next report, until then; returns False when the time is over."""
        left = until - self._boottime()
        if left <= 0:
            return False
        try:
            async with asyncio.timeout(left):
                await self._scene.next_report()
        except TimeoutError:
            return False
        return True

    def _acts(self) -> bool:
        return self._settings.acts

    # --- what is remembered -----------------------------------------------------------------------

    async def keep(self) -> None:
        """Write what was drawn, whenever it was drawn anew, until cancelled: synced, which may take as long as a disk likes."""
        while True:
            await self._drawn_anew.wait()
            self._drawn_anew.clear()
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write what was drawn last."""
        if self._kept is not None:
            self._save(self._settings.state_dir / KEPT, self._kept, durable=True)

    def _remember(self, memory: Memory) -> None:
        if memory != self._memory:
            self._memory = memory
            self._save(self._settings.run_dir / MEMORY, memory, durable=False)

    def _load_memory(self) -> Memory:
        kept = _load(self._settings.run_dir / MEMORY, Memory)
        if kept is None or kept.bar.boot_id != self._settings.boot_id:
            return Memory.fresh(self._settings.boot_id)
        return kept

    def _save(self, path: Path, value: msgspec.Struct, *, durable: bool) -> None:
        try:
            data = msgspec.json.format(msgspec.json.encode(value), indent=1)
            files.write(path, data, mode=0o640, durable=durable)
            self._unsaved.discard(path.name)
        except errors.ClientError as error:
            if path.name not in self._unsaved:
                self._unsaved.add(path.name)
                _log.warning("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})


class GuardSocket(ControlSocket):
    """The socket for the guard. Its user has no name in the agent's user namespace, so a secret shows who asks.

    ``secret`` gives the one that `tidegate guard enable` put into ``guard.json``; "" while there is none: then only root and the
    agent's own user may ask.
    """

    def __init__(self, path: Path, guarding: Guarding, secret: Callable[[], str]) -> None:
        super().__init__(path, _Once(guarding), may_ask=lambda _uid: True, mode=0o666)
        self._secret = secret

    def may(self, uid: int, request: dict[str, Any]) -> bool:
        """Return True for root, the agent's own user, and whoever brings the secret."""
        if uid in {0, os.geteuid()}:
            return True
        secret, brought = self._secret(), request.get("secret")
        if not secret or not isinstance(brought, str):
            return False
        return hmac.compare_digest(secret.encode(), brought.encode())


class _Once:
    def __init__(self, guarding: Guarding) -> None:
        self._guarding = guarding

    def answer(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        return self._guarding.answer(request)


def binary(root: Path, programs: Iterable[str] = PROGRAMS) -> str:
    """Return what tells one incusd's program from another: path, size, time of the last change; "" when none is found."""
    for name in programs:
        try:
            found = (root / name).stat()
        except OSError:
            continue
        return f"/{name} {found.st_size} {found.st_mtime_ns}"
    return ""


def kept_definitions(state_dir: Path, snapshot: Snapshot) -> tuple[DefinitionFacts, ...]:
    """Return every resource definition that Incus may be shown on local truth: what is kept, and what was seen in this boot."""
    kept = _load(state_dir / KEPT, Kept)
    return guardview.definitions(kept or Kept(), snapshot)


def secret_of(state_dir: Path) -> str:
    """Return the guard's secret from ``guard.json``; "" when there is none."""
    try:
        found = json.loads(files.read_text(state_dir / "guard.json"))
    except (errors.ClientError, ValueError):
        return ""
    secret = found.get("secret") if isinstance(found, dict) else None
    return secret if isinstance(secret, str) else ""


def _patience(asked: float) -> float:
    return max(0.0, min(asked, MOST_PATIENCE))


def _load(path: Path, kind: type[T]) -> T | None:
    """Return what was kept; None when there is nothing, or nothing of use: then we begin anew, which is always safe."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(files.read(path), type=kind)
    except (errors.ClientError, msgspec.MsgspecError) as error:
        _log.warning("%s is not used: %s", path, error, extra={"TIDEGATE_CODE": "guard.unusable"})
        return None


async def serve(
    config: Config, loop: Loop, observer: Observer, *, boottime: Callable[[], float], act: bool
) -> None:
    """Answer the guard until cancelled. That it cannot be answered is told, and ends nothing: then the controllers' own answers pass."""
    async with DeviceClient(
        root=Path(config.devices.root), limit=config.devices.deadline
    ) as devices:
        settings = Settings(
            run_dir=Path(config.agent.run_dir),
            state_dir=Path(config.agent.state_dir),
            root=Path(config.host.root),
            boot_id=loop.snapshot.boot_id,
            bar_limit=config.guard.bar_limit,
            local_truth=config.guard.local_truth,
            acts=act and config.recovery.enabled,
        )
        guarding = await asyncio.to_thread(
            lambda: Guarding(loop, settings, wake=observer.wake, devices=devices, boottime=boottime)
        )
        loop.heard = guarding.heard
        socket = GuardSocket(
            settings.run_dir / asking.SOCKET, guarding, lambda: secret_of(settings.state_dir)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(guarding.keep(), name="guarding-keep")
            try:
                await socket.serve(asyncio.Event())
            except SocketUnusable as error:
                _log.warning("%s", error, extra={"TIDEGATE_CODE": "guard.no-socket"})
