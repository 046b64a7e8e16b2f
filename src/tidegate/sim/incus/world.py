# SPDX-License-Identifier: Apache-2.0
"""What outlives an incusd process: the database, the instances that run, the journal, the storage behind the pools."""

import random
import uuid
from collections.abc import Mapping

import msgspec

from tidegate.core import ids
from tidegate.sim.clock import VirtualClock
from tidegate.sim.incus.journal import Journal
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import Config, Devices, InstanceKind, InstanceSpec, ServerSpec
from tidegate.sim.incus.warnings import Warnings
from tidegate.sim.storage import (
    ContentType,
    Done,
    Failed,
    IncusVolume,
    Reply,
    StorageFront,
    VolumeKind,
)

POWER = "volatile.last_state.power"
RUNNING = "RUNNING"
STOPPED = "STOPPED"

_TRUE = frozenset({"true", "1", "yes", "on"})


class InstanceRecord:
    """An instance in the database.

    Attributes:
        spec: what the scenario declared.
        config: local configuration now, volatile keys included.
        at_boot: what it was when the scenario began, which is what counts for an autostart (A1).
        last_used_at: seconds since the epoch.
        created_at: seconds since the epoch.
        location: the member it lives on.
        is_stateful: it was stopped with its state kept.
        is_in_error: Incus shows it with status Error and refuses to start it (R48).
        late_failures: how many of its next starts fail after the storage is there.
    """

    def __init__(self, spec: InstanceSpec, server: ServerSpec) -> None:
        self.spec = spec
        self.id = spec.id
        self.config: dict[str, str] = {POWER: RUNNING, **spec.config}
        self.at_boot: Config = dict(self.config)
        self.created_at = server.epoch - 3600.0 if spec.created_at is None else spec.created_at
        self.last_used_at = server.epoch - 60.0 if spec.last_used_at is None else spec.last_used_at
        self.location = spec.location or server.location
        self.is_stateful = False
        self.is_in_error = False
        self.late_failures = spec.late_failures

    @property
    def expanded_config(self) -> dict[str, str]:
        """Configuration with what the profiles add."""
        return {**self.spec.profile_config, **self.config}

    @property
    def devices(self) -> dict[str, Config]:
        """Local devices: the root disk and what was declared."""
        root = {"path": "/", "pool": self.spec.pool, "type": "disk"}
        return {"root": root, **self.spec.devices}

    @property
    def expanded_devices(self) -> Devices:
        """Devices with what the profiles add."""
        return {**self.spec.profile_devices, **self.devices}

    @property
    def power(self) -> str:
        """``volatile.last_state.power``."""
        return self.config.get(POWER, "")

    @power.setter
    def power(self, value: str) -> None:
        self.config[POWER] = value

    @property
    def should_autostart(self) -> bool:
        """The rule by which Incus starts an instance by itself (A1)."""
        return should_autostart(self.expanded_config)

    @property
    def is_prioritised(self) -> bool:
        """Not of the bulk group: it has a delay or a priority (A4)."""
        config = self.expanded_config
        return "boot.autostart.delay" in config or "boot.autostart.priority" in config

    @property
    def priority(self) -> int:
        """``boot.autostart.priority``, 0 when unset or no number."""
        return _number(self.expanded_config.get("boot.autostart.priority", ""))

    @property
    def start_delay(self) -> int:
        """``boot.autostart.delay`` in seconds, 0 when unset or no number."""
        return _number(self.expanded_config.get("boot.autostart.delay", ""))

    @property
    def stops_with_state(self) -> bool:
        """``boot.host_shutdown_action`` is stateful-stop: it is started from its saved state (A6)."""
        return self.expanded_config.get("boot.host_shutdown_action") == "stateful-stop"

    @property
    def has_watched_device(self) -> bool:
        """It has a ``unix-char`` or ``unix-block`` device with a source: the retry loop panics on it (D-RETRY-PANIC)."""
        return any(
            device.get("type") in {"unix-char", "unix-block"} and "source" in device
            for device in self.expanded_devices.values()
        )


def should_autostart(expanded_config: Mapping[str, str]) -> bool:
    """Return whether Incus starts an instance with that configuration by itself (A1)."""
    autostart = expanded_config.get("boot.autostart", "")
    if autostart in {"", "last-state"}:
        return expanded_config.get(POWER) == RUNNING
    return autostart.lower() in _TRUE


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


class RunningInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that runs: processes of its own, which outlive incusd (U43). ``since``: virtual seconds."""

    pid: int
    since: float


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An instance came up, for consistency checks.

    ``at``: virtual seconds; ``origin``: api or autostart; ``was_stateful``: it was asked to come up from its saved state.
    """

    at: float
    instance: ids.InstanceId
    origin: str
    was_stateful: bool = False


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """One pool of one call of ``recover/validate``, for consistency checks (contract, safety 2).

    ``was_unavailable`` and ``was_ready`` say whether the pool was Unavailable and incusd's first pass over when it was called;
    ``at``: virtual seconds.
    """

    at: float
    pool: str
    was_unavailable: bool
    was_ready: bool
    error: str = ""


class LocalFront:
    """Storage of a pool that is not LINSTOR's: always there."""

    def __init__(self, took: float) -> None:
        self._took = took

    def restarted(self) -> None:
        """Keep nothing: there is nothing to keep."""

    def load_driver(self) -> Failed | None:
        """Load it: nothing is needed."""
        return None

    def mount_pool(self) -> Reply:
        """Mount it: a directory is always there."""
        return Done(took=self._took)

    def list_volumes(self) -> Reply:
        """Read the directory."""
        return Done()

    def prepare_volume(self, volume: IncusVolume) -> Reply:  # noqa: ARG002 - the protocol's signature
        """Nothing to do."""
        return Done()


class World:
    """The server around incusd.

    Args:
        clock: the virtual clock.
        server: what the scenario declares.
        fronts: the storage behind each LINSTOR pool, by pool name.
        timings: durations.
        seed: for chance: order of pools, identifiers.

    Attributes:
        db_dump: expanded configurations in ``db.bin``, None while it is missing (U4).
        running: instances that run now.
        starts: every instance that came up, in order.
        validations: every pool that a ``recover/validate`` was called for, in order.
        unknown_volumes: per pool, volumes that the storage has and the database does not know (D66).
        mounted_unknown: those of them that a ``recover/validate`` has mounted: harm (contract, safety 2).
        dropped: whom an autostart has left without a warning, because a pool was unavailable (A7).
        clock_set: seconds by which the wall clock was set since the scenario began.
    """

    def __init__(
        self,
        clock: VirtualClock,
        server: ServerSpec,
        fronts: Mapping[str, StorageFront],
        timings: IncusTimings,
        seed: int,
    ) -> None:
        self.clock = clock
        self.server = server
        self.timings = timings
        self.random = random.Random(seed)
        self.clock_set = 0.0
        self.dropped: set[ids.InstanceId] = set()
        self.config: dict[str, str] = dict(server.config)
        self.journal = Journal(server.epoch, lambda: clock.now)
        self.warnings = Warnings(lambda: self.wall - server.epoch, self.new_uuid)
        self.instances = {spec.id: InstanceRecord(spec, server) for spec in server.instances}
        self.running: dict[ids.InstanceId, RunningInstance] = {}
        self.starts: list[StartRecord] = []
        self.validations: list[Validation] = []
        self.unknown_volumes: dict[str, tuple[IncusVolume, ...]] = {}
        self.mounted_unknown: list[IncusVolume] = []
        self.member_status = next(
            (member.status for member in server.members if member.name == server.name), "Online"
        )
        self.fronts: dict[str, StorageFront] = {
            pool.name: fronts[pool.name]
            if pool.is_remote
            else fronts.get(pool.name) or LocalFront(timings.dir_mount)
            for pool in server.pools
        }
        self.db_dump: list[dict[str, str]] | None = None
        if server.has_db_dump:
            self.dump_database()
        self._next_pid = 300

    @property
    def wall(self) -> float:
        """What the wall clock shows: seconds since the epoch."""
        return self.server.epoch + self.clock.now + self.clock_set

    @property
    def local_instances(self) -> list[InstanceRecord]:
        """Instances of this member, by project and name."""
        here = self.server.location
        return [
            self.instances[key]
            for key in sorted(self.instances)
            if self.instances[key].location == here
        ]

    @property
    def is_evacuated(self) -> bool:
        """The member is evacuated, or on its way there or back (A2)."""
        return self.member_status in {"Evacuated", "Evacuating", "Restoring"}

    def dump_database(self) -> None:
        """Write ``db.bin``, as a clean stop of the daemon does (U4)."""
        self.db_dump = [instance.expanded_config for instance in self.local_instances]

    def new_uuid(self) -> str:
        """Return the next identifier; the seed decides."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_pid(self) -> int:
        """Return the next process number."""
        self._next_pid += 7
        return self._next_pid

    def volumes_of(self, instance: InstanceRecord) -> list[IncusVolume]:
        """Return the volumes of its root disk: a virtual machine has two (L26, L54)."""
        spec = instance.spec
        name = spec.name if spec.project == "default" else f"{spec.project}_{spec.name}"
        if spec.kind is InstanceKind.CONTAINER:
            return [IncusVolume(pool=spec.pool, kind=VolumeKind.CONTAINERS, name=name)]
        kind = VolumeKind.VIRTUAL_MACHINES
        return [
            IncusVolume(pool=spec.pool, kind=kind, name=name, content=ContentType.BLOCK),
            IncusVolume(pool=spec.pool, kind=kind, name=name),
        ]
