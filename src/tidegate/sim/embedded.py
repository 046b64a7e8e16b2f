# SPDX-License-Identifier: Apache-2.0
"""A whole simulated node in one directory, without root: what the real agent is run against in the demo and in tests.

Behind it are the models of LINSTOR, DRBD, devices and Incus on one clock; in front real sockets (LINSTOR's REST on TCP, Incus's
on a unix socket), a program ``drbdsetup`` that prints the simulated kernel's state, and files that stand for devices.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from tidegate.clients import files
from tidegate.sim import drbd_text, faults
from tidegate.sim.faces.incus_http import IncusFace
from tidegate.sim.faces.linstor_http import LinstorFace
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import InstanceSpec, PoolSpec, ServerSpec
from tidegate.sim.linstor.front import LinstorFront
from tidegate.sim.linstor.world import LinstorWorld

PREFIX: Final = "incus-volume-"
_MIRROR_EVERY: Final = 0.02
"""Seconds between two looks at the models: what udev and the kernel take, roughly."""
_EXT4_MAGIC: Final = (1080, b"\x53\xef")
"""Offset and bytes by which an ext file system is known (the kernel's documentation of ext4, super block)."""
_DRBDSETUP: Final = """#!/bin/sh
# Stands in for drbdsetup on a simulated node: prints what the simulator wrote beside it.
cd "$(dirname "$0")" || exit 1
case "$*" in
  "events2 --now"*) cat events2.txt ;;
  events2*) exec tail -n +1 -f events2.stream ;;
  show*) cat show.json ;;
  *) echo "drbdsetup: $1 is not simulated" >&2; exit 1 ;;
esac
"""


def layout(containers: tuple[str, ...]) -> faults.Layout:
    """Return two nodes with a thin pool each, and one replicated volume for each of ``containers``."""
    return faults.Layout(
        nodes=(
            faults.NodeSpec(name="n1", address="10.99.0.11"),
            faults.NodeSpec(name="n2", address="10.99.0.12"),
        ),
        pools=tuple(faults.PoolSpec(name="thin", node=node) for node in ("n1", "n2")),
        groups=(faults.GroupSpec(name="remote", storage_pool="thin"),),
        resources=tuple(
            faults.ResourceSpec(
                name=f"{PREFIX}{name}",
                minor=1001 + number,
                props={
                    "Aux/Incus/name": f"{PREFIX}{name}",
                    "Aux/Incus/type": "containers",
                    "Aux/Incus/content-type": "filesystem",
                },
            )
            for number, name in enumerate(containers)
        ),
    )


def server(containers: tuple[str, ...], local: tuple[str, ...], *, epoch: float) -> ServerSpec:
    """Return an Incus server whose ``containers`` lie on the LINSTOR pool ``remote``, ``local`` on a directory; all start at boot."""
    group = {"linstor.resource_group.name": "remote", "linstor.volume.prefix": PREFIX}
    autostart = {"boot.autostart": "true"}
    return ServerSpec(
        epoch=epoch,
        pools=(PoolSpec(name="local", driver="dir"), PoolSpec(name="remote", config=group)),
        instances=(
            *(InstanceSpec(name=name, pool="remote", config=autostart) for name in containers),
            *(InstanceSpec(name=name, pool="local", config=autostart) for name in local),
        ),
    )


class EmbeddedNode:
    """One simulated node that serves in ``directory``; use :meth:`running`."""

    def __init__(
        self,
        directory: Path,
        scenario: faults.Scenario,
        spec: ServerSpec,
        timings: IncusTimings,
    ) -> None:
        self.directory = directory
        self.world = LinstorWorld(scenario, epoch=spec.epoch)
        fronts = {
            pool.name: LinstorFront(self.world, pool=pool.name)
            for pool in spec.pools
            if pool.is_remote
        }
        self.incus = IncusModel(self.world.clock, spec, fronts, timings=timings, seed=scenario.seed)
        self._pacer = Pacer(self.world.clock)
        self.linstor_face = LinstorFace(self.world, pacer=self._pacer)
        self._written: dict[Path, bytes] = {}
        self._drbd_lines: drbd_text.Lines = {}

    @property
    def incus_socket(self) -> Path:
        """Where Incus's REST is served."""
        return self.directory / "incus.socket"

    @property
    def root(self) -> Path:
        """What the agent takes for the root directory: ``dev``, ``sys``, ``usr``."""
        return self.directory / "root"

    @property
    def agent_options(self) -> Mapping[str, object]:
        """The configuration keys that point an agent at this node, and at nothing of the real host."""
        return {
            "node.name": self.world.local,
            "linstor.controllers": [self.linstor_face.url],
            "incus.socket": str(self.incus_socket),
            "systemd.use": "off",
            "drbd.drbdsetup": str(self.directory / "bin" / "drbdsetup"),
            "devices.root": str(self.root),
            "host.root": str(self.root),
            "agent.state_dir": str(self.directory / "state"),
            "agent.run_dir": str(self.directory / "run"),
        }

    def now(self) -> float:
        """Bring the models to the present and return their seconds since boot."""
        return self._pacer.catch_up()

    def storage_ready(self) -> bool:
        """Return True when the node is ONLINE and every volume is up, connected, reported and can be opened."""
        life = self.world.lives[self.world.local]
        tree = self.world.trees[self.world.local]
        resources = self.world.drbd[self.world.local].resources
        return life.status == "ONLINE" and all(
            spec.name in life.reported
            and spec.name in resources
            and all(peer.connected for peer in resources[spec.name].connections.values())
            and (file := tree.of(spec.name, 0)) is not None
            and tree.open(file.path) == 0
            for spec in self.world.scenario.layout.resources
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["EmbeddedNode"]:
        """Boot the node and serve for as long as the block lasts."""
        self._furnish()
        try:
            await self.linstor_face.start()
            async with (
                self._pacer.running(),
                IncusFace(self.incus, self._pacer, activates=False).serving(self.incus_socket),
                asyncio.TaskGroup() as group,
            ):
                self.world.boot()
                self.incus.boot()
                self.linstor_face.tick()
                self._pacer.wake()
                mirror = group.create_task(self._mirror(), name="mirror")
                yield self
                mirror.cancel()
        finally:
            await self.linstor_face.stop()

    def _furnish(self) -> None:
        for name in (
            "bin",
            "state",
            "root/dev",
            "root/sys/module/drbd",
            "root/usr/share/linstor-server/bin",
            "root/proc/sys/kernel/random",
        ):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        files.write(self.directory / "bin" / "drbdsetup", _DRBDSETUP.encode(), mode=0o755)
        files.write(self.directory / "bin" / "show.json", b"[]")
        for name in ("events2.txt", "events2.stream"):
            files.write(self.directory / "bin" / name, b"exists -\n")
        files.write(self.root / "proc/stat", f"btime {int(self.world.epoch)}\n".encode())
        # Another one at every boot, also in a directory that was used before: what an agent remembers ends with its boot.
        name = f"{self.world.scenario.name}-{self.world.scenario.seed}-{self.world.epoch:.3f}\n"
        files.write(self.root / "proc/sys/kernel/random/boot_id", name.encode())
        files.write(
            self.root / "usr/share/linstor-server/bin/Satellite", b"#!/bin/sh\n", mode=0o755
        )

    async def _mirror(self) -> None:
        """Keep files in line with the models: device files, the module's version, what drbdsetup prints."""
        while True:
            self.now()
            self._mirror_devices()
            self._mirror_module(loaded=self.world.module_loaded())
            self._mirror_drbd()
            await asyncio.sleep(_MIRROR_EVERY)

    def _mirror_drbd(self) -> None:
        resources = self.world.drbd[self.world.local].resources.values()
        lines: drbd_text.Lines = {}
        for resource in resources:
            lines |= drbd_text.state_lines(resource)
        if lines == self._drbd_lines:
            return
        text = "\n".join(drbd_text.events2_now(resources)) + "\n"
        self._put(self.directory / "bin" / "events2.txt", text.encode())
        with (self.directory / "bin" / "events2.stream").open("a") as stream:
            stream.writelines(f"{line}\n" for line in drbd_text.changes(self._drbd_lines, lines))
        self._drbd_lines = lines

    def _mirror_devices(self) -> None:
        tree = self.world.trees[self.world.local]
        wanted = {self.root / file.path.lstrip("/"): file for file in tree}
        for path in set(_regular_files(self.root / "dev")) - set(wanted):
            path.unlink()
        for path, file in wanted.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                # A device is never seen half made.
                fresh = self.directory / "bin" / "fresh"
                fresh.write_bytes(_content(file.signature))
                fresh.replace(path)

    def _mirror_module(self, *, loaded: bool) -> None:
        module = self.root / "sys/module/drbd"
        if loaded:
            module.mkdir(parents=True, exist_ok=True)
            self._put(module / "version", b"9.2.16\n")
        elif module.exists():
            shutil.rmtree(module)
            self._written.pop(module / "version", None)

    def _put(self, path: Path, data: bytes) -> None:
        """Write ``data`` unless it is there already. Nothing here must outlive a crash, so nothing is synced."""
        if self._written.get(path) != data:
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(data)
            fresh.replace(path)
            self._written[path] = data


def _regular_files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def _content(signature: str) -> bytes:
    """Return the first blocks of a volume that carries ``signature``; only ext4 is made, everything else is empty."""
    blocks = bytearray(128 * 1024)
    if signature == "ext4":
        offset, magic = _EXT4_MAGIC
        blocks[offset : offset + len(magic)] = magic
    return bytes(blocks)
