# SPDX-License-Identifier: Apache-2.0
"""What can be observed, as plain values: one Struct per kind of thing, in the words of the system it comes from.

Probes make these of what clients read; nobody else does. A value says only what was seen, never what it is worth.
Absent is None, never a guess. Unknown words of the peers (a connection status we never heard of) are kept as text.
"""

import enum
from collections.abc import Mapping

import msgspec

from tidegate.core.evidence import BackingFacts, ClockJump, CommandFacts
from tidegate.core.ids import (
    InstanceId,
    NodeName,
    PoolName,
    ResourceName,
    StoragePoolName,
    UnitName,
    VolumeId,
)
from tidegate.core.trouble import Trouble


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """This machine, as far as Incus's LINSTOR driver and DRBD depend on it (facts/incus.md §2.3)."""

    drbd_module: str | None
    """Version of the loaded DRBD module, None while it is not loaded."""
    satellite_present: bool
    """``/usr/share/linstor-server/bin/Satellite`` exists: the driver refuses to load without it."""
    satellite_listens: bool | None = None
    """The satellite's port is open on this host; None when it could not be looked up."""
    stalled: int | None = None
    """Share of the last ten seconds in which all work stood still for disk or memory (``/proc/pressure``), in percent, rounded down to
    20, so that it is news only when it matters; None where the kernel does not tell."""
    drbd_file: str | None = None
    """The module's file for the running kernel, below its directory of modules; "" when there is none, None when not looked up."""
    drbd_named: tuple[str, ...] | None = None
    """DRBD resources that a file on this host names, LINSTOR's or others'; None when it is not known."""
    tools: Mapping[str, bool] = {}
    """Programs that LINSTOR uses -> whether they are installed; empty when not looked up."""
    backings: Mapping[str, BackingFacts] = {}
    """What lies behind this node's storage pools, by the pool's name, as far as it is known where to look."""
    satellite_commands: tuple[CommandFacts, ...] = ()
    """Programs that the satellite started more than a moment ago and that still run; the event stream of DRBD is left out."""
    clock_jump: ClockJump | None = None
    """The greatest jump of the clock seen since we started."""
    controller_database: str | None = None
    """What is mounted where a controller on this host keeps its data base; None when nothing is mounted there."""


class UnitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One unit, as systemd's manager shows it."""

    name: UnitName
    load_state: str
    active_state: str
    sub_state: str
    result: str = "success"
    """Of the last run: success, timeout, exit-code, signal, start-limit-hit, …"""
    restarts: int = 0
    type: str = ""
    """simple, notify, …; empty for what is no service."""
    active_since: float | None = None
    """Seconds since boot at which it last became active; None when it is not active."""
    inactive_since: float | None = None
    """Seconds since boot at which it last stopped being active; None when it never ran in this boot. Tells a unit that somebody
    stopped from one that nothing ever started (facts/incus.md U4), without memory of ours."""
    enabled: bool = False
    """Somebody wants it started at every boot."""
    has_job: bool = False
    """A job of it is waiting or under way."""

    @property
    def lost_its_start(self) -> bool:
        """True when its start at boot came to nothing before it ran, a mount that it requires had failed; nobody stopped it."""
        never_ran = self.active_state == "inactive" and self.inactive_since is None
        return never_ran and self.enabled and not self.has_job

    @property
    def is_installed(self) -> bool:
        """True when systemd found a unit file."""
        return self.load_state not in {"not-found", "error", "bad-setting", "masked"}


class ControllerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The LINSTOR controller that answered."""

    url: str
    version: str
    rest_api_version: str
    latency: float
    """Seconds from question to answer."""
    configured: tuple[str, ...] = ()
    """All controllers that may be asked; several of them share one data base, and one is active at a time."""
    passphrase: str | None = None
    """The master passphrase for encrypted volumes: unset, locked or unlocked; None when it was not asked for."""


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A node in the controller's eyes. ``connection_status`` is text: ONLINE, OFFLINE, CONNECTED, … or unknown to us."""

    name: NodeName
    connection_status: str
    flags: tuple[str, ...] = ()
    resource_layers: tuple[str, ...] = ()
    storage_providers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    satellite_port: int | None = None
    unsupported: Mapping[str, tuple[str, ...]] = {}
    """Layers and providers that the satellite cannot do -> why, in its words."""


class StoragePoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool of LINSTOR on one node."""

    name: StoragePoolName
    node: NodeName
    provider: str
    free_kib: int | None
    total_kib: int | None
    reports: tuple[str, ...] = ()
    backing: str = ""
    """Where it lies: a directory, ``VG``, ``VG/THINPOOL`` or a zpool."""


class DefinitionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A resource definition with what Incus wrote on it (facts/incus.md L21)."""

    name: ResourceName
    resource_group: str
    aux_name: str | None = None
    aux_type: str | None = None
    aux_content: str | None = None
    quorum: str | None = None
    """``DrbdOptions/Resource/quorum`` as set on the definition: off, majority, …; None when unset."""
    flags: tuple[str, ...] = ()


class PlacedVolume(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume of a resource placed on a node, in the controller's memory."""

    number: int
    device_path: str | None
    """May be stale (a satellite that rebooted) or null though usable (a controller that restarted)."""
    minor: int | None = None
    backing_device: str | None = None


class PlacementFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A resource placed on one node, from ``/v1/resource-definitions/{rd}/resources`` (asks no satellite)."""

    resource: ResourceName
    node: NodeName
    flags: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    """Kinds of layer from the top, for example ("DRBD", "STORAGE")."""
    storage_pool: StoragePoolName | None = None
    state_reported: bool = False
    """``state`` is present: the satellite has reported this resource since it connected (facts/linstor.md 0.10)."""
    in_use: bool | None = None
    promotion_score: int | None = None
    may_promote: bool | None = None
    connections: tuple[tuple[NodeName, str], ...] = ()
    """(peer, message) as the satellite reported it: Connected, Connecting, StandAlone, …"""
    skip_disk: bool = False
    volumes: tuple[PlacedVolume, ...] = ()

    @property
    def is_diskless(self) -> bool:
        """True for a placement without a disk of its own (client or tie-breaker), by LINSTOR's will."""
        return "DISKLESS" in self.flags

    @property
    def has_drbd(self) -> bool:
        """True when DRBD is among the layers."""
        return "DRBD" in self.layers


class OpenResult(enum.StrEnum):
    """What opening a device for reading gave."""

    OPENED = "opened"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    NOT_TRIED = "not-tried"


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A device file, looked at by opening it for reading in a helper process."""

    path: str
    exists: bool
    is_device: bool = False
    rdev: tuple[int, int] | None = None
    opened: OpenResult = OpenResult.NOT_TRIED
    errno: str | None = None
    """Name of the error that stat or open gave, for example ENODATA."""
    content: str | None = None
    """What the first blocks hold: ext4, xfs, gpt, …; "zero" when nothing is there; None when not read or not known."""
    size: int | None = None
    """Bytes."""
    backing_file: str | None = None
    """For a loop device, the file behind it."""


class IncusPhase(enum.StrEnum):
    """How far incusd has come (facts/incus.md R6, R12)."""

    STOPPED = "stopped"
    """systemd says that the daemon does not run; nobody may connect, its socket would start it."""
    STARTING = "starting"
    """It runs, and its API does not answer yet: pools, patches, networks are being done."""
    AUTOSTART = "autostart"
    """The API answers reads; Incus's own first pass of starting instances goes on."""
    READY = "ready"
    STOPPING = "stopping"


class IncusFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The Incus daemon of this node. Fields after ``phase`` are None until its API has answered once."""

    phase: IncusPhase
    version: str | None = None
    pid: int | None = None
    server_name: str | None = None
    clustered: bool | None = None
    member_status: str | None = None
    """Of this cluster member: Online, Evacuated, …; None on a standalone server."""
    drivers: tuple[str, ...] | None = None
    """Storage drivers that it has loaded."""
    config: dict[str, str] = {}
    """Server keys that matter to us (``storage.*``, ``core.https_address``); certificates and keys left out."""


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool of Incus, with the status of this member."""

    name: PoolName
    driver: str
    status: str | None
    """Created, Unavailable, …; None when the pool could not be loaded (then ``error`` says why)."""
    error: str | None = None
    resource_group: str | None = None
    volume_prefix: str = "incus-volume-"


class NeededVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that an instance needs to start, in Incus's words (facts/incus.md L22-L28)."""

    pool: PoolName
    type: str
    """containers, virtual-machines or custom."""
    name: str
    """The volume's name as LINSTOR's ``Aux/Incus/name`` holds it behind the prefix."""
    required: bool = True


class InstanceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as Incus shows it."""

    id: InstanceId
    kind: str
    """container or virtual-machine."""
    status: str
    location: str
    autostart: str | None
    """``boot.autostart`` from the expanded configuration: true, false, last-state; None when unset."""
    last_power: str | None
    """``volatile.last_state.power``: RUNNING or STOPPED."""
    priority: int | None = None
    delay: int | None = None
    """Seconds."""
    stateful_action: bool = False
    """``boot.host_shutdown_action`` is stateful-stop: Incus starts it from its saved state."""
    created_at: float | None = None
    """Seconds since the epoch."""
    last_used_at: float | None = None
    """Seconds since the epoch at which it was last started; None when never."""
    needs: tuple[NeededVolume, ...] = ()
    networks: tuple[str, ...] = ()
    """Networks of Incus that its cards are connected to."""
    addresses: tuple[str, ...] = ()
    """Addresses that were given to its cards by hand."""

    @property
    def runs(self) -> bool:
        """True for Running, Frozen and Ready (facts/incus.md R42)."""
        return self.status in {"Running", "Frozen", "Ready"}

    @property
    def should_start(self) -> bool:
        """True when Incus would start it at boot (facts/incus.md A1)."""
        if self.autostart == "true":
            return True
        return self.autostart in {None, "", "last-state"} and self.last_power == "RUNNING"


class WarningFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A warning of Incus that is not resolved."""

    uuid: str
    type: str
    status: str
    location: str
    entity_url: str
    message: str
    last_seen_at: float | None = None
    """Seconds since the epoch at which it was last raised; later than an instance's last start when that start is what failed."""


class NeededResource(msgspec.Struct, frozen=True, kw_only=True):
    """A needed volume found in LINSTOR: its resource and the volume numbers that a start uses."""

    needed: NeededVolume
    volumes: tuple[VolumeId, ...]


class GuardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Our own guard between Incus and the controllers, as it says itself."""

    answers: bool = False
    trouble: Trouble | None = None
    """Why it does not."""
    started_at: float = 0.0
    """Seconds since boot."""
    controller: str | None = None
    """The controller that it asks at the moment."""
    controller_trouble: str = ""
    """Why it asks none."""
    mounts: int = 0
    """How often it was asked for this node, which is what Incus does when it mounts a pool."""
    volumes: int = 0
    """How often it was asked for a volume of this node."""
    calls: Mapping[str, int] = {}
    """Class of call -> how many it answered since it started."""
    seconds: Mapping[str, float] = {}
    """Class of call -> what they took together."""
    local_truth: bool = False
    """With no controller to be asked, it answers what Incus needs to mount a pool and to start an instance from this node."""
    reasons: Mapping[str, int] = {}
    """Why it did not pass the controller's own answer on -> how often."""
    mounted: int = 0
    """Times that Incus was told that the node is ready, which is when it mounts the pool."""
    turned_away: int = 0
    """Times that it was told that the node is not, though the controller said so."""
    holds: Mapping[str, int] = {}
    """Why the call for a volume was held -> how often, whatever became of it."""
    held_seconds: float = 0.0
    """All holds together."""
