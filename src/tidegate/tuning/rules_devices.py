# SPDX-License-Identifier: Apache-2.0
"""Finding devices and bringing them up: what a satellite asks LVM and ZFS, what udev does, and how many resources there are."""

from typing import Final

from tidegate.tuning import figure, result
from tidegate.tuning.advice import Advice, Edit, Rule, When
from tidegate.tuning.facts import HostFacts, Timing, UnitTime
from tidegate.tuning.figure import Seen, span

FILTER: Final = '["r|^/dev/drbd|", "r|^/dev/zd|", "r|^/dev/zvol/|", "r|^/dev/loop|"]'
ZFS_LISTINGS: Final = 2
"""Times a satellite lists a pool's volumes and snapshots until its first run is over: full sync, and the run (facts/linstor.md 13)."""
FIRST_SAVES: Final = 0.75
"""Of the time from ONLINE until all devices are ready: DRBD came up from kept files in 18 s where a satellite took 81 s for the same five
resources (facts/early-observed.md E1, facts/fullstack-observed.md s2). What it takes, the satellite's start waits for."""
HELD_WITHIN: Final = 2.0
"""Seconds before the satellite's start within which a unit that it waits for became active, if it was that one that held it."""
SETTLE: Final = "systemd-udev-settle.service"
SCAN: Final = "zfs-import-scan.service"


def held(facts: HostFacts, unit: str) -> UnitTime | None:
    """Return when ``unit`` started, if it may have held the satellite's start in this boot; None when not."""
    satellite = facts.times.get(facts.satellite.unit) if facts.satellite is not None else None
    found = facts.times.get(unit)
    if satellite is None or found is None:
        return None
    return found if -0.1 <= satellite.began - found.active < HELD_WITHIN else None


def beside(facts: HostFacts, unit: str) -> tuple[Seen, ...]:
    """Return the evidence that other waits went on beside ``unit`` and ended as late: one of them alone gains little."""
    own = facts.times[unit]
    others = [
        name
        for name, wait in sorted(facts.times.items())
        if name != unit
        and (name in {SETTLE, SCAN} or name.endswith("wait-online.service"))
        and held(facts, name) is not None
        and wait.began < own.active
        and own.began < wait.active
    ]
    if not others:
        return ()
    text = f"{', '.join(others)} ended as late beside it: all of the gain comes only when neither is waited for"
    return (Seen(text=text, source=figure.this_boot(facts.at)),)


def devices_first(facts: HostFacts) -> Advice | None:
    """DRBD from what the node kept, before satellite and controller."""
    known = facts.phase("devices")
    if known is None or facts.devices_first or facts.module_listed is False:
        return None  # where the module comes with the satellite's first command, nothing before it can bring DRBD up
    seconds, count = known
    return Advice(
        id="devices-first",
        title="bring DRBD up before the satellite",
        gain=FIRST_SAVES * seconds,
        source=figure.estimate(
            f"{FIRST_SAVES:g} × {seconds:.1f} s, the median of {figure.counted(count)}; DRBD alone took 18 s where a satellite took 81 s"
        ),
        evidence=(
            Seen(
                text=f"from ONLINE until all wanted volumes are ready: {seconds:.1f} s, with {facts.resources} resources",
                source=figure.boots(count),
            ),
        ),
        change=("tidegate-devices.service enabled",),
        risk="the satellite's start may be held for up to 20 s by a program that hangs",
        undo="tidegate tune revert devices-first",
        edit=Edit(unit="tidegate-devices.service", enable=True),
        measure="devices",
    )


def lvm_filter(facts: HostFacts) -> Advice | None:
    """A satellite lists a group's volumes with a filter of its own; to find the group's disks it asks LVM to look at every device but DRBD's."""
    plain, filtered = facts.timings.get("pvdisplay"), facts.timings.get("pvdisplay-filtered")
    count = sum(facts.scanned.values())
    if plain is None or filtered is None or not count or not facts.groups:
        return None
    if (facts.lvm is not None and facts.lvm.hidden) or filtered.lines != plain.lines:
        return None  # it would hide a group that lies on such a device
    kinds = ", ".join(
        f"{number} {kind}" for kind, number in sorted(facts.scanned.items()) if number
    )
    return Advice(
        id="lvm-filter",
        title="keep LVM from looking into DRBD devices, zvols and loop devices",
        gain=facts.groups * (plain.median - filtered.median),
        source=f"{_measured(plain)}: {facts.groups} volume groups × ({span(plain.median)} − {span(filtered.median)} with the filter)",
        evidence=(
            Seen(
                text=f"LVM looks at {kinds} devices, none of which can hold its volumes",
                source=figure.read(facts.at, "/sys/block"),
            ),
        ),
        change=(
            f"devices {{ global_filter = {FILTER} }}    in /etc/lvm/lvm.conf",
            "update-initramfs -u",
        ),
        risk="volume groups that do lie on such a device would not be found any more; where LVM has a devices file it looks at nothing else anyhow (vgimportdevices -a makes one)",
        undo="take the line out again",
        measure="connect",
    )


def zfs_snapshots(facts: HostFacts) -> Advice | None:
    """A satellite lists snapshots along with volumes (facts/linstor.md 8.2; with 1,800 of them more than two minutes)."""
    every, volumes = facts.timings.get("zfs-list"), facts.timings.get("zfs-list-volumes")
    if every is None or volumes is None:
        return None
    snapshots = every.lines - volumes.lines
    return Advice(
        id="zfs-snapshots",
        title="delete snapshots that nobody needs",
        gain=ZFS_LISTINGS * (every.median - volumes.median),
        source=f"{_measured(every)}: {ZFS_LISTINGS} listings × ({span(every.median)} − {span(volumes.median)} without snapshots), if all go",
        evidence=(
            Seen(
                text=f"{snapshots} snapshots of {volumes.lines} volumes: `{every.command}` takes {span(every.median)}",
                source=_measured(every),
            ),
        ),
        change=(
            "those of Incus: incus snapshot delete INSTANCE SNAPSHOT, or snapshots.expiry",
            "others of LINSTOR: linstor snapshot list; linstor snapshot delete RESOURCE SNAPSHOT",
            "what LINSTOR does not know: zfs destroy POOL/VOLUME@SNAPSHOT",
        ),
        risk="what is deleted is gone",
        undo="none",
        measure="connect",
    )


def import_cache(facts: HostFacts) -> Advice | None:
    """Without a cache file every device is searched for pools."""
    scan = held(facts, SCAN)
    if scan is None or not facts.import_scans:
        return None
    return Advice(
        id="zfs-import-cache",
        title="import zpools from the cache file instead of searching all devices",
        gain=scan.took - 1.0,
        source=figure.estimate(
            f"{scan.took:.1f} s that {SCAN} took in this boot, less 1 s for the import itself"
        ),
        evidence=(
            Seen(
                text=f"{SCAN} was the last that the satellite's start waited for: {scan.took:.1f} s",
                source=figure.this_boot(facts.at),
            ),
            *beside(facts, SCAN),
        ),
        change=(
            "zpool set cachefile=/etc/zfs/zpool.cache POOL    for each pool",
            "systemctl enable zfs-import-cache.service; systemctl disable zfs-import-scan.service",
        ),
        risk="a pool whose disks were renamed is not found until the cache is made anew",
        undo="systemctl enable zfs-import-scan.service; systemctl disable zfs-import-cache.service",
        measure="before",
    )


def settle(facts: HostFacts) -> Advice | None:
    """Waiting until udev has nothing to do, which the slowest device decides."""
    found = held(facts, SETTLE)
    if found is None:
        return None
    return Advice(
        id="udev-settle",
        title="have nothing at boot wait until udev is idle",
        gain=found.took,
        source=figure.estimate(f"the {found.took:.1f} s that {SETTLE} took in this boot"),
        evidence=(
            Seen(
                text=f"{SETTLE} was the last that the satellite's start waited for: {found.took:.1f} s",
                source=figure.this_boot(facts.at),
            ),
            *beside(facts, SETTLE),
        ),
        change=(
            f"systemctl list-dependencies --reverse {SETTLE}    names who asks for it",
            "order these after the devices that they need, by their .device units, instead",
        ),
        risk="what relied on all devices being there may start before its own",
        undo="take the change out again",
        measure="before",
    )


def multipath(facts: HostFacts) -> Advice | None:
    """Udev asks multipath about each block device, unless that is told to leave it alone."""
    timing = facts.timings.get("multipath")
    if timing is None or not facts.multipath or not facts.udev_devices:
        return None
    return Advice(
        id="multipath-blacklist",
        title="keep multipath from looking at DRBD devices",
        gain=facts.udev_devices * timing.median / facts.cpus,
        source=f"{_measured(timing)}: {facts.udev_devices} DRBD devices × {span(timing.median)} / {facts.cpus} processors",
        evidence=(
            Seen(
                text=f"udev runs `{timing.command}` for each device: {span(timing.median)}",
                source=_measured(timing),
            ),
        ),
        change=(
            'blacklist { devnode "^drbd" }    in /etc/multipath/conf.d/drbd.conf',
            "systemctl reload multipathd; update-initramfs -u",
        ),
        risk="none: a DRBD device is never a path of a multipath",
        undo="rm /etc/multipath/conf.d/drbd.conf",
        measure="devices",
    )


def module(facts: HostFacts) -> Advice | None:
    """Incus's driver does not load without the module, and is tried again once a minute (facts/observed.md s3)."""
    if facts.module_listed is not False:
        return None
    return Advice(
        id="module-at-boot",
        title="load the DRBD module at boot, and not with the satellite's first command",
        gain=60.0,
        source=figure.estimate(
            "the minute after which Incus tries a driver again that it could not load (facts: scenario s3, 63 s)"
        ),
        evidence=(
            Seen(
                text="no file of modules-load.d names drbd",
                source=figure.read(facts.at, "/etc, /run and /usr/lib/modules-load.d"),
            ),
        ),
        change=("echo drbd > /etc/modules-load.d/drbd.conf",),
        risk="none known",
        undo="rm /etc/modules-load.d/drbd.conf",
        measure=result.WHOLE,
        when=When.TROUBLE,
    )


def orphans(facts: HostFacts) -> Advice | None:
    """Resources that are kept here and that LINSTOR does not know: devices-first and udev handle them at every boot."""
    known, gone = facts.phase("devices"), facts.orphans
    if known is None or not gone or not facts.resources:
        return None
    seconds, count = known
    each = seconds / facts.resources
    return Advice(
        id="orphans",
        title="take down resources that LINSTOR does not know any more",
        gain=len(gone) * each,
        source=figure.estimate(
            f"{len(gone)} × {seconds:.1f} s / {facts.resources} resources, the median of {figure.counted(count)}"
        ),
        evidence=(
            Seen(
                text=f"kept here, unknown to LINSTOR: {', '.join(gone[:5])}",
                source=figure.read(facts.at, "LINSTOR and /var/lib/linstor.d"),
            ),
        ),
        change=(
            "look first whether something in it is still needed: it may be the only copy",
            *(f"drbdadm down {name}" for name in gone[:5]),
        ),
        risk="a resource that is not LINSTOR's but somebody's would be taken down",
        undo="drbdadm up RESOURCE",
        measure="devices",
    )


def _measured(timing: Timing) -> str:
    return figure.measured(timing.at, len(timing.seconds))


RULES: Final[tuple[Rule, ...]] = (
    devices_first,
    lvm_filter,
    zfs_snapshots,
    import_cache,
    settle,
    multipath,
    module,
    orphans,
)
