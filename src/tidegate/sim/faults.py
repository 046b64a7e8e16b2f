# SPDX-License-Identifier: Apache-2.0
"""Faults and scenarios as data: what is wrong, with whom, from when until when; and the layout it happens to.

The models look faults up here; nothing is scripted. All times are seconds of the virtual clock since the local node's boot.
"""

from enum import StrEnum

import msgspec

EVERY = "*"
"""The subject that means all of them."""


class FaultKind(StrEnum):
    """What can go wrong. The words after the dash say what the subject is and which parameters count."""

    NODE_OFFLINE = "node-offline"  # node; silent: no FIN or RST, the loss is noticed after 5 to 7 s
    NODE_CONNECTED = "node-connected"  # node; the full sync does not end
    NODE_STATUS = "node-status"  # node; status: FULL_SYNC_FAILED and the like, stays until a reconnect after the end
    CONTROLLER_REFUSES = (
        "controller-refuses"  # -; restarts: the process really ended, its memory is gone
    )
    CONTROLLER_HANGS = "controller-hangs"  # -; accepts, never answers
    CONTROLLER_BLACK_HOLE = (
        "controller-black-hole"  # -; SYNs vanish; a face cannot do it, the lab's network does
    )
    CONTROLLER_500 = "controller-500"  # -; body: json, html, truncated, or no-message
    CONTROLLER_SLOW = "controller-slow"  # -; delay: seconds added to each answer
    DEVICE_MISSING = "device-missing"  # resource; drbd_up, state_reported: how far it got
    DEVICE_PATH_MISSING = "device-path-missing"  # resource; REST gives no device_path
    VOLUMES_EMPTY = "volumes-empty"  # resource; GET volumes answers []
    DEVICE_CANNOT_OPEN = "device-cannot-open"  # resource; errno: what open(2) says
    SATELLITE_LATE = "satellite-late"  # node; the process opens its port only at the end
    SATELLITE_DEAD = "satellite-dead"  # node; its process is killed at the start, and its unit stays failed until somebody starts it
    SATELLITE_MUTE = "satellite-mute"  # node; stopped in its tracks: TCP stays up, nothing answers
    FALSE_ONLINE = (
        "false-online"  # node; ONLINE, but no device manager (facts/linstor-observed.md A1)
    )
    DRBD_NO_QUORUM = "drbd-no-quorum"  # resource
    PEER_AWAY = (
        "peer-away"  # peer node; alive: its satellite stays ONLINE, only DRBD cannot reach it
    )
    PEER_PRIMARY = "peer-primary"  # resource
    SPLIT_BRAIN = "split-brain"  # resource
    SUSPENDED = "suspended"  # resource; I/O frozen for lack of quorum
    CONTENT_EMPTY = "content-empty"  # resource; made anew, carries nothing (A5)
    MODULE_LATE = "module-late"  # node; the DRBD module comes at the end; installed: LINSTOR's tool check sees it
    RESOURCE_FAILS = "resource-fails"  # resource; its bring-up fails and holds back others (A18)
    POOL_MISSING = "pool-missing"  # storage pool; VG, zpool or directory not there
    FOREIGN_AWAY = "foreign-away"  # Incus's pool of another driver that needs a network (Ceph); neither it nor its volumes can be had
    STORAGE_LOCKED = "storage-locked"  # -; no master passphrase: encrypted resources are skipped (facts/linstor.md 2.5)


CONTROLLER_KINDS = frozenset(
    {
        FaultKind.CONTROLLER_REFUSES,
        FaultKind.CONTROLLER_HANGS,
        FaultKind.CONTROLLER_BLACK_HOLE,
        FaultKind.CONTROLLER_500,
        FaultKind.CONTROLLER_SLOW,
    }
)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        kind: what is wrong.
        start: seconds when it begins; 0 or less: it is there from the start.
        end: seconds when it is gone; None: for ever.
        subject: node, resource definition, storage pool (see the kind) or ``*``.
        node: on which node, for faults of resources and pools; "" = the scenario's local node.
        errno: of ``device-cannot-open``, for example 61 (ENODATA).
        status: of ``node-status``.
        body: of ``controller-500``.
        delay: of ``controller-slow``, seconds.
        silent: of ``node-offline``: no FIN, no RST.
        restarts: of ``controller-refuses``: the controller's memory is lost.
        state_reported: of ``device-missing``: REST shows ``state`` nevertheless.
        drbd_up: of ``device-missing``: DRBD itself is up, only the device file is not there.
        alive: of ``peer-away``.
        installed: of ``module-late``.
    """

    kind: FaultKind
    start: float = 0.0
    end: float | None = None
    subject: str = EVERY
    node: str = ""
    errno: int = 0
    status: str = ""
    body: str = "json"
    delay: float = 0.0
    silent: bool = False
    restarts: bool = False
    state_reported: bool = False
    drbd_up: bool = False
    alive: bool = False
    installed: bool = True

    def active(self, moment: float) -> bool:
        """True while the fault is there: from ``start`` up to, not including, ``end``."""
        return self.start <= moment and (self.end is None or moment < self.end)

    def hits(self, subject: str) -> bool:
        """True if ``subject`` is meant."""
        return self.subject in (EVERY, subject)


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A satellite node: its name, the address the controller dials, and whether DRBD's module and tools are installed."""

    name: str
    address: str
    drbd: bool = True


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool on one node. ``backing``: VG/thin pool, zpool or directory; sizes in KiB."""

    name: str
    node: str
    kind: str = "LVM_THIN"
    backing: str = "vg0/thin"
    total_kib: int = 6_291_456
    free_kib: int = 6_000_000


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A resource group; an Incus pool of the same name stands on it."""

    name: str
    description: str = "Resource group managed by Incus"
    place_count: int = 2
    storage_pool: str = ""
    layers: tuple[str, ...] = ()


class ResourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A resource definition with its volumes and placements.

    Attributes:
        name: LINSTOR's name.
        group: resource group.
        sizes_kib: one size per volume.
        nodes: where it is placed, diskful.
        diskless: where it is placed without a disk (tie-breaker or client).
        props: for Incus the ``Aux/Incus/*`` properties.
        layers: DRBD over STORAGE, or STORAGE alone; LUKS between them or on top of STORAGE.
        pool: storage pool; "" = the group's.
        signatures: what each volume carries, as a probe would say ("ext4", "dos", …); "" = nothing.
        minor: of volume 0; 0 = the next free one.
        crashed: was Primary on the local node when power was lost: after attach it turns SyncTarget when the peer connects.
    """

    name: str
    group: str = "remote"
    sizes_kib: tuple[int, ...] = (10_485_760,)
    nodes: tuple[str, ...] = ("n1", "n2")
    diskless: tuple[str, ...] = ()
    props: dict[str, str] = {}
    layers: tuple[str, ...] = ("DRBD", "STORAGE")
    pool: str = ""
    signatures: tuple[str, ...] = ("ext4",)
    minor: int = 0
    crashed: bool = False


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes, pools, groups and resources; ``local`` is the node whose boot is looked at."""

    local: str = "n1"
    nodes: tuple[NodeSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    resources: tuple[ResourceSpec, ...] = ()


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the steps take, in seconds; each is varied by ``jitter`` (a fraction) from the seed.

    Sources: facts/linstor-observed.md sections A, C, G (rounds, detection, run), facts/drbd-observed.md and
    facts/fullstack-observed.md (order of the DRBD steps; their seconds are 10 to 30 times those of real hardware).

    Attributes:
        satellite: process start until its port is open.
        reconnect_round: period of the controller's reconnect rounds; 0 = it connects at once.
        lost_round: chance that one further round passes before the authentication (A7).
        authenticate: TCP connect until CONNECTED.
        full_sync: CONNECTED until ONLINE, plus ``full_sync_per_resource`` each.
        first_device: ONLINE until the device manager begins with the first resource.
        per_device: from one resource to the next.
        attach: device file until its disk is attached.
        connect: attached until the peer is connected.
        resync: of a volume that was Primary when power was lost.
        run_end: last device until the end of the run (READY=1, device paths refreshed).
        noticed_close: FIN or RST until the node leaves ONLINE.
        noticed_silent: silent loss until then.
        retry: first retry of what failed in the run.
    """

    satellite: float = 0.0
    reconnect_round: float = 0.0
    lost_round: float = 0.0
    authenticate: float = 0.0
    full_sync: float = 0.0
    full_sync_per_resource: float = 0.0
    first_device: float = 0.0
    per_device: float = 0.0
    attach: float = 0.0
    connect: float = 0.0
    resync: float = 0.0
    run_end: float = 0.0
    noticed_close: float = 0.0
    noticed_silent: float = 0.0
    retry: float = 0.0
    jitter: float = 0.0


INSTANT = Timings()
"""Nothing takes time: only the faults of a scenario do. For the boot lab's table."""

TYPICAL = Timings(
    satellite=5.0,
    reconnect_round=10.0,
    lost_round=0.5,
    authenticate=0.5,
    full_sync=1.0,
    full_sync_per_resource=0.025,
    first_device=0.2,
    per_device=0.8,
    attach=0.3,
    connect=1.0,
    resync=3.0,
    run_end=0.6,
    noticed_close=1.0,
    noticed_silent=6.0,
    retry=23.0,
    jitter=0.2,
)
"""Ordinary hardware, a handful of volumes."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One boot: name, layout, faults, pace and seed. The same scenario with the same seed always runs the same way."""

    name: str
    layout: Layout
    faults: tuple[Fault, ...] = ()
    timings: Timings = TYPICAL
    seed: int = 0
