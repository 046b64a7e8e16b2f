# SPDX-License-Identifier: Apache-2.0
"""Devices first, done: walks each kept resource through the steps that ``bringup.decide`` names, several at once, within a time.

It may be killed anywhere and begun again: every step is found out anew. One thing is remembered, until the next boot: which
resources were begun, so that one left half up is finished, and one that somebody else keeps as it is is left so.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tidegate.bringup import decide
from tidegate.bringup.model import (
    Activate,
    Adjust,
    Device,
    Examine,
    KeptFile,
    Left,
    LogicalVolume,
    Metadata,
    Seen,
    Step,
)
from tidegate.clients import errors, files, lvm
from tidegate.clients.drbd.adm import DrbdAdm
from tidegate.clients.drbd.client import DrbdClient

T = TypeVar("T")
AGAIN: Final = 0.5
"""Seconds between the first two looks for disks that are not there yet."""
SLOWEST: Final = 2.0
"""The same in the end: LVM reads every disk for each."""
LVM_WITHIN: Final = 10.0
ADJUST_WITHIN: Final = 60.0
"""Seconds: about as long as LINSTOR waits for it."""
META_WITHIN: Final = 10.0
MOST_FILES: Final = 20_000
_DONE: Final = "bringup.done"
_FAILED: Final = "bringup.failed"
_BEGUN: Final = ".begun"
_DISKLESS: Final = "Diskless"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one resource. ``code`` is ``bringup.done``, ``bringup.failed`` or why it was left."""

    resource: str
    code: str
    says: str
    seconds: float = 0.0

    @property
    def is_up(self) -> bool:
        """True when DRBD has it up, by us or before us."""
        return self.code in {_DONE, "bringup.up"}


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What the work is done with.

    Attributes:
        adm: reads files, brings up.
        drbd: says what is up.
        satellite: True when the satellite runs by now, or may.
        module: version of DRBD in the kernel; None while it is not loaded.
        boottime: seconds since boot.
        begun: a directory of this boot, for the names of resources that are being brought up.
        root: stands for ``/`` when block devices are looked for.
        lvs: the program; ``lvchange``: the other.
    """

    adm: DrbdAdm
    drbd: DrbdClient
    satellite: Callable[[], bool]
    module: Callable[[], str | None]
    boottime: Callable[[], float]
    begun: Path
    root: Path = Path("/")
    lvs: str = "lvs"
    lvchange: str = "lvchange"


class Bringup:
    """One run. ``directory`` holds the .res files; ``order`` are the wanted resources, the most urgent first; None: no map.

    ``reserved`` says why LINSTOR alone may bring up a resource; ``everything`` takes what is not wanted as well; ``parallel``
    resources are worked on at once; ``told`` hears of each result, ``idle`` once when all that is left waits for a disk to come.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        directory: Path,
        order: Sequence[str] | None,
        reserved: Mapping[str, str] | None = None,
        everything: bool = False,
        parallel: int = 4,
        told: Callable[[Result], None] = lambda result: None,  # noqa: ARG005
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._tools = tools
        self._directory = directory
        self._order = order
        self._everything = everything
        self._at_once = asyncio.Semaphore(parallel)
        self._told, self._idle = told, idle
        self._seen = Seen(
            wanted=None if order is None else frozenset(order),
            everything=everything,
            reserved=reserved or {},
        )
        self._files: tuple[KeptFile, ...] = ()
        self._failed: set[str] = set()
        self.results: dict[str, Result] = {}

    async def plan(self) -> dict[str, Step]:
        """Return the next step of each resource as things are; changes nothing."""
        await self._look()
        stuck = self._stuck()
        steps: dict[str, Step] = {
            file.resource: decide.next_step(file, self._seen) for file in self._files
        }
        return {**steps, **stuck}

    async def up(self, until: float) -> None:
        """Bring up what may be, until ``until`` (seconds since boot); results are in :attr:`results`."""
        await asyncio.to_thread(self._tools.begun.mkdir, mode=0o700, parents=True, exist_ok=True)
        pause = AGAIN
        while True:
            await self._look()
            stuck = self._stuck()
            for resource, left in stuck.items():
                self._settle(resource, left)
            open_files = [file for file in self._files if file.resource not in stuck]
            ends = await _all(self._one(file, until) for file in open_files)
            again = any(ends)
            if not again or self._tools.boottime() + pause >= until or self._tools.satellite():
                return
            if pause == AGAIN:
                self._idle()
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, SLOWEST)

    async def _one(self, file: KeptFile, until: float) -> bool:
        """Take one resource as far as it goes; True when another look may take it further."""
        async with self._at_once:
            began = self._tools.boottime()
            seen = self._seen
            while True:
                # Before every step: a program may have taken its time, and the satellite may be at work by now.
                seen = msgspec.structs.replace(seen, satellite=self._tools.satellite())
                step = decide.next_step(file, seen)
                if isinstance(step, Left):
                    self._settle(file.resource, step)
                    return step.again
                if self._tools.boottime() >= until:
                    left = Left(code="bringup.late", why="time was up before it was its turn")
                    self._settle(file.resource, left)
                    return False
                if isinstance(step, Adjust):
                    return await self._adjust(file, began)
                seen = await self._prepare(file, step, seen)

    async def _prepare(self, file: KeptFile, step: Activate | Examine, seen: Seen) -> Seen:
        """Do what comes before bringing up; returns what is seen then."""
        if isinstance(step, Examine):
            found: dict[int, Metadata] = dict(seen.metadata)
            for volume in step.volumes:
                found[volume.minor] = await self._tools.adm.metadata(volume, deadline=META_WITHIN)
            return msgspec.structs.replace(seen, metadata=found)
        tried = dict(seen.activated)
        for name in step.volumes:
            trouble = await lvm.activate(name, lvchange=self._tools.lvchange)
            tried[f"/dev/{name}"] = "" if trouble is None else trouble.text
        disks = {**seen.disks, **await asyncio.to_thread(self._sizes, (file,))}
        return msgspec.structs.replace(seen, activated=tried, disks=disks)

    async def _adjust(self, file: KeptFile, began: float) -> bool:
        """Bring it up; True when it failed and is worth a second try: whoever looks at new devices may have held the disk."""
        mark = self._tools.begun / f"{file.resource}{_BEGUN}"
        await asyncio.to_thread(files.write, mark, b"", durable=False)
        trouble = await self._tools.adm.adjust(file, deadline=ADJUST_WITHIN)
        took = self._tools.boottime() - began
        if trouble is None:
            await asyncio.to_thread(mark.unlink, missing_ok=True)
            self._keep(Result(resource=file.resource, code=_DONE, says="brought up", seconds=took))
            return False
        says = f"{trouble.text}; {decide.LINSTOR_DOES_IT}"
        self._keep(Result(resource=file.resource, code=_FAILED, says=says, seconds=took))
        first = file.resource not in self._failed
        self._failed.add(file.resource)
        return first

    def _settle(self, resource: str, left: Left) -> None:
        known = self.results.get(resource)
        if known is not None and (known.is_up or (known.code == _FAILED and left.again)):
            return  # a later round says of what we brought up that it is up already
        self._keep(Result(resource=resource, code=left.code, says=left.why))

    def _keep(self, result: Result) -> None:
        before = self.results.get(result.resource)
        self.results[result.resource] = result
        if before is None or before.code != result.code:
            self._told(result)

    def _stuck(self) -> dict[str, Left]:
        return {**decide.absent(self._files, self._seen), **decide.clashes(self._files)}

    async def _look(self) -> None:
        """Read everything anew, but for files that were good already."""
        if not self._files:
            self._files = await self._read_files()
        module = self._tools.module()
        (up, devices), volumes = await asyncio.gather(self._up(module), self._volumes())
        self._seen = msgspec.structs.replace(
            self._seen,
            satellite=self._tools.satellite(),
            module=module,
            up=up,
            devices=devices,
            begun=await asyncio.to_thread(self._begun),
            volumes=volumes,
            disks=await asyncio.to_thread(self._sizes, self._files),
        )

    async def _read_files(self) -> tuple[KeptFile, ...]:
        paths = await asyncio.to_thread(lambda: sorted(self._directory.glob("*.res"))[:MOST_FILES])
        place = {resource: number for number, resource in enumerate(self._order or ())}

        async def read(path: Path) -> KeptFile:
            resource = path.name.removesuffix(".res")
            if not self._everything and resource not in place:
                return KeptFile(path=str(path), resource=resource)  # nobody will look into it
            async with self._at_once:
                return await self._tools.adm.read(path)

        found = await _all(read(path) for path in paths)
        return tuple(sorted(found, key=lambda file: place.get(file.resource, len(place))))

    async def _up(self, module: str | None) -> tuple[frozenset[str] | None, dict[int, Device]]:
        """Return the resources that DRBD knows, None when it cannot be asked, and its devices."""
        if module is None:
            return frozenset(), {}
        try:
            told = await self._tools.drbd.status()
        except errors.ClientError:
            return None, {}
        devices = {
            device.minor: Device(resource=resource.name, attached=device.disk != _DISKLESS)
            for resource in told
            for device in resource.devices
        }
        return frozenset(resource.name for resource in told), devices

    def _begun(self) -> frozenset[str]:
        return frozenset(
            path.name.removesuffix(_BEGUN) for path in self._tools.begun.glob(f"*{_BEGUN}")
        )

    async def _volumes(self) -> Mapping[str, LogicalVolume] | None:
        try:
            return await lvm.volumes(deadline=LVM_WITHIN, lvs=self._tools.lvs)
        except errors.ClientError as error:
            return {} if error.code == "lvm.no-tool" else None

    def _sizes(self, files: Iterable[KeptFile]) -> dict[str, int]:
        found = {}
        for file in files:
            for volume in file.volumes:
                for path in decide.paths(volume):
                    if (size := _size(self._tools.root, path)) is not None:
                        found[path] = size
        return found


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return [task.result() for task in tasks]


def _size(root: Path, path: str) -> int | None:
    """Return the bytes of the block device ``path`` by what /sys says, without opening it; None when there is none."""
    try:
        name = (root / path.lstrip("/")).resolve(strict=True).name
        return int((root / "sys/class/block" / name / "size").read_text()) * 512
    except (OSError, ValueError):
        return None
