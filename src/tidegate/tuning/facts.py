# SPDX-License-Identifier: Apache-2.0
"""What advice is made from. Seconds and bytes unless said otherwise; what could not be found out is None or missing, and then nothing is advised."""

import statistics
from collections.abc import Mapping

import msgspec

from tidegate.tuning.incus import Autostart


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded boot: when it began (seconds since the epoch), and how long its phases took, by name."""

    began: float
    phases: Mapping[str, float] = {}


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """A read-only command, run here some times. ``at``: when, seconds since the epoch."""

    command: str
    seconds: tuple[float, ...]
    at: float
    lines: int = 0
    """Lines of its answer."""

    @property
    def median(self) -> float:
        """The middle of its runs."""
        return statistics.median(self.seconds)


class Java(msgspec.Struct, frozen=True, kw_only=True):
    """The JVM that runs the satellite, and which of the flags that were tried it accepts."""

    program: str
    version: str
    accepts: frozenset[str] = frozenset()


class UnitTime(msgspec.Struct, frozen=True, kw_only=True):
    """A unit in this boot: when its start began and when it was active, seconds after boot."""

    unit: str
    began: float
    active: float

    @property
    def took(self) -> float:
        """Seconds its start took."""
        return max(0.0, self.active - self.began)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service that runs a JVM, as its unit files say, without what ``tune apply`` added.

    Attributes:
        unit: its name.
        command: its ``ExecStart=``.
        identifier: what it is called in the journal.
        options: what ``JAVA_OPTS`` says.
        quoted: there are quotes or escapes in ``options``, so that we add nothing to it.
        options_file: the file that sets it and wins over the unit; "" when none does.
        heap: bytes that its start script allows its heap by default; None: not known.
        restart: ``Restart=``.
        files_used, files_limit: files that its process has open, and may have; 0 when that cannot be seen.
        weight: it has a ``StartupCPUWeight=`` or ``CPUWeight=`` already.
        online: it waits for network-online.target.
        peak: most bytes that its process has had in memory; None when it does not run or that cannot be seen.
    """

    unit: str
    command: str = ""
    identifier: str = ""
    options: str = ""
    options_file: str = ""
    quoted: bool = False
    heap: int | None = None
    restart: str = ""
    files_used: int = 0
    files_limit: int = 0
    weight: bool = False
    online: bool = False
    peak: int | None = None


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A class-data archive for the satellite: can it be made here, and what of it is there."""

    obstacle: str = ""
    """Why none can be made; "" when one can."""
    folder: str = ""
    """Where it is kept."""
    state: str = ""
    """Of one that was applied: whether it is there."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the kernel for root that a satellite runs into (facts/linstor.md 13)."""

    inotify_instances: int
    inotify_used: int


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """A disk at the bottom of a device: what the kernel says of it."""

    name: str
    rotational: bool
    nvme: bool = False
    volatile_cache: bool = True
    """``write_cache`` is "write back": a flush must reach the medium. "write through": none, or one with power-loss protection."""

    @property
    def kind(self) -> str:
        """In words."""
        what = "rotational disk" if self.rotational else "NVMe" if self.nvme else "SSD"
        return what if self.volatile_cache else f"{what}, no volatile cache"


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A DRBD volume of this node, and the disks that its data and its metadata lie on; none where they could not be followed."""

    name: str
    internal: bool
    data: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    al_extents: int | None = None
    size: int = 0
    al_writes: int | None = None
    """Updates of its activity log since it was attached."""


class Writes(msgspec.Struct, frozen=True, kw_only=True):
    """Small synced writes into a file of ours, which somebody asked for."""

    directory: str
    media: tuple[str, ...]
    timing: Timing


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """The controller's database on this host."""

    path: str
    size: int
    media: tuple[str, ...] = ()


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A network link; ``needed``: an address of storage or controller is reached through it."""

    name: str
    needed: bool


class Shutdown(msgspec.Struct, frozen=True, kw_only=True):
    """How the boot before this one ended."""

    took: float | None
    """Seconds from the request to the end; None: it ended without one."""
    forced: tuple[str, ...] = ()
    """What was killed because it took too long."""


class Lvm(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of LVM in force; "" where unknown. ``activated``: seconds that event activation of a group took in this boot, by group."""

    global_filter: str = ""
    devices_file: str = ""
    event_activation: str = ""
    hidden: tuple[str, ...] = ()
    """Groups that would not be found any more with the filter of our advice."""
    activated: Mapping[str, float] = {}


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one host.

    Attributes:
        at: when it was looked at, seconds since the epoch.
        boots: the recorded boots, the oldest first.
        cpus, memory: processors, bytes.
        java: the satellite's JVM; None: not found.
        satellite, controller: their services; None: not on this host.
        archive: a class-data archive; None: not looked for.
        resources: DRBD resources that LINSTOR keeps here.
        orphans: those that LINSTOR does not know; None: LINSTOR was not asked.
        timings: by name, see ``agent.tunecommands``.
        not_timed: why nothing was timed; "" when it was.
        not_asked: what else could not be asked, and why.
        scanned: block devices that LVM looks at for nothing, by kind: zvol, loop, drbd.
        lvm: LVM's settings; None: not asked.
        groups: volume groups, each of which a satellite asks for its disks once.
        times: units of this boot, by name.
        links: network links; empty when unknown.
        wait_command: what networkd's wait for the network runs; "" when that is unknown.
        module_listed: a file of modules-load.d (or the kernel's own command line) loads drbd; None: no DRBD here.
        import_scans: zpools are searched for at boot because there is no import cache.
        multipath: its udev rule looks at DRBD devices.
        udev_devices: DRBD devices that udev handles at boot.
        volumes, media, writes, database: DRBD's and the controller's data, and what it lies on.
        resync_rate: bytes per second that a resync is allowed; None: unknown.
        limits: of the kernel.
        autostart: instances that Incus starts here.
        unpacking: image volumes that a crash left half unpacked, by LINSTOR's name; None: LINSTOR was not asked.
        shutdown: the end of the boot before; None: not known.
        resynced: this boot began with a resync.
        devices_first: ``tidegate-devices.service`` is enabled.
        agent: ``tidegate-agent.service`` is enabled: it brings a failed satellite back, and wakes the controller.
        wakes: recovery wakes the controller.
        applied: advice that is in force by files of ours.
        drifted: advice in force that was made from what has changed since.
    """

    at: float = 0.0
    boots: tuple[Boot, ...] = ()
    cpus: int = 1
    memory: int = 0
    java: Java | None = None
    satellite: Service | None = None
    controller: Service | None = None
    archive: Archive | None = None
    resources: int = 0
    orphans: tuple[str, ...] | None = None
    timings: Mapping[str, Timing] = {}
    not_timed: str = ""
    not_asked: tuple[str, ...] = ()
    scanned: Mapping[str, int] = {}
    lvm: Lvm | None = None
    groups: int = 0
    times: Mapping[str, UnitTime] = {}
    links: tuple[Link, ...] = ()
    wait_command: str = ""
    module_listed: bool | None = None
    import_scans: bool = False
    multipath: bool = False
    udev_devices: int = 0
    volumes: tuple[Volume, ...] = ()
    media: Mapping[str, Medium] = {}
    writes: tuple[Writes, ...] = ()
    database: Database | None = None
    resync_rate: float | None = None
    limits: Limits | None = None
    autostart: tuple[Autostart, ...] = ()
    unpacking: tuple[str, ...] | None = None
    shutdown: Shutdown | None = None
    resynced: bool = False
    devices_first: bool = False
    agent: bool = False
    wakes: bool = True
    applied: frozenset[str] = frozenset()
    drifted: tuple[str, ...] = ()

    def phase(self, name: str) -> tuple[float, int] | None:
        """Return the median of a phase over the recorded boots, and over how many; None without any."""
        found = [boot.phases[name] for boot in self.boots if name in boot.phases]
        return (statistics.median(found), len(found)) if found else None
