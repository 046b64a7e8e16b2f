# SPDX-License-Identifier: Apache-2.0
"""Advice, the most seconds first. What can gain nothing here is not advised; every figure says where it comes from."""

import enum
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from tidegate.tuning.facts import HostFacts, Timing

WORTH_IT: Final = 0.5
"""Seconds below which a gain is not worth anybody's while, and not told from chance."""
FLAGS: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A small collector and the quick compiler alone: facts/linstor-observed.md E, 8.7 to 4.1 processor seconds, 15.9 to 6.0 s."""
JVM_SHARE: Final = 0.5
"""Of a JVM's start, what these flags saved at least on the satellite that was measured."""
MANY: Final = 1000
"""Resources from which on a satellite's own work may profit from the slower, better compiler."""
RUNS: Final = 4
"""Times a satellite lists logical volumes until its first run is over: tool check, two free-space queries, the run (facts/linstor.md 2.4)."""
INCUS_SHARE: Final = 4
"""Incus starts ``max(processors / 4, 1)`` instances at once."""
FILTER: Final = '["r|^/dev/drbd|", "r|^/dev/zd|", "r|^/dev/zvol/|", "r|^/dev/loop|"]'


class By(enum.StrEnum):
    """Who makes the change."""

    US = "tidegate tune apply"
    HAND = "by hand"


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        id: its stable name.
        title: what to do, in a few words.
        gain: seconds that the next boot is expected to be shorter by.
        source: where ``gain`` comes from: boots, a measurement with its date, or "estimate" with its formula.
        evidence: what was seen here.
        change: the exact change.
        risk: what may become worse.
        undo: how to take it back.
        by: who makes it.
        measure: the phase of a boot in which the gain must show.
    """

    id: str
    title: str
    gain: float
    source: str
    evidence: tuple[str, ...]
    change: str
    risk: str
    undo: str
    by: By
    measure: str


def advise(facts: HostFacts) -> tuple[Advice, ...]:
    """Return what is worth doing on this host, the most seconds first; what was applied already is left out."""
    found = (rule(facts) for rule in _RULES)
    worth = [one for one in found if one and one.gain >= WORTH_IT and one.id not in facts.applied]
    return tuple(sorted(worth, key=lambda one: -one.gain))


def java_options(now: str) -> str:
    """Return ``JAVA_OPTS`` with our flags added to what is set ``now``."""
    return " ".join([*now.split(), *(flag for flag in FLAGS if flag not in now.split())])


def _jvm(facts: HostFacts) -> Advice | None:
    known = facts.phase("jvm")
    if known is None or facts.java is None or facts.resources > MANY:
        return None
    if not set(FLAGS) <= facts.java.accepts or set(FLAGS) <= set(facts.java_options.split()):
        return None
    if any("GC" in word and word.startswith("-XX:+Use") for word in facts.java_options.split()):
        return None  # somebody chose a collector: theirs stays
    seconds, count = known
    theirs = facts.java_options_file
    wanted = f"JAVA_OPTS={java_options(facts.java_options)}"
    return Advice(
        id="jvm-flags",
        title="start the satellite's JVM with the serial collector and the quick compiler",
        gain=JVM_SHARE * seconds,
        source=f"estimate: {JVM_SHARE:g} × {seconds:.1f} s, the median of {_boots(count)}",
        evidence=(
            f"from the satellite's start until its port is open: {seconds:.1f} s",
            f"{facts.java.program} is {facts.java.version} and accepts {' '.join(FLAGS)}",
        ),
        change=f"{wanted} in {theirs}, which wins over any unit file"
        if theirs
        else f'Environment="{wanted}" in a drop-in of linstor-satellite.service',
        risk="a satellite with very many resources computes more slowly later; a few hundred make no difference",
        undo=f"take them out of {theirs} again" if theirs else "tidegate tune revert jvm-flags",
        by=By.HAND if theirs else By.US,
        measure="jvm",
    )


def _devices(facts: HostFacts) -> Advice | None:
    known = facts.phase("devices")
    if known is None or facts.devices_first:
        return None
    seconds, count = known
    return Advice(
        id="devices-first",
        title="bring DRBD up before the satellite",
        gain=seconds,
        source=f"estimate: the whole of {seconds:.1f} s, the median of {_boots(count)}, since devices are then up before ONLINE",
        evidence=(f"from ONLINE until all wanted volumes are ready: {seconds:.1f} s",),
        change="tidegate-devices.service enabled",
        risk="the satellite's start may be held for up to 20 s by a disk that is not there",
        undo="tidegate tune revert devices-first",
        by=By.US,
        measure="devices",
    )


def _wake(facts: HostFacts) -> Advice | None:
    known = facts.phase("connect")
    if known is None or facts.wakes:
        return None
    seconds, count = known
    gain = max(0.0, seconds - 2.0)
    return Advice(
        id="wake-controller",
        title="have the controller dial the satellite as soon as its port is open",
        gain=gain,
        source=f"estimate: {seconds:.1f} s, the median of {_boots(count)}, less 2 s for connecting and the full sync",
        evidence=(
            f"from the open port until ONLINE: {seconds:.1f} s; rounds of the controller are 10 s apart",
        ),
        change="recovery.wake_controller = true in Tidegate's configuration",
        risk="none known: it is what the controller's next round does",
        undo="recovery.wake_controller = false",
        by=By.HAND,
        measure="connect",
    )


def _lvm(facts: HostFacts) -> Advice | None:
    plain, filtered = facts.timings.get("lvs"), facts.timings.get("lvs-filtered")
    count = sum(facts.scanned.values())
    if plain is None or filtered is None or not count:
        return None
    gain = RUNS * (plain.median - filtered.median)
    kinds = ", ".join(
        f"{number} {kind}" for kind, number in sorted(facts.scanned.items()) if number
    )
    return Advice(
        id="lvm-filter",
        title="keep LVM from looking into DRBD devices, zvols and loop devices",
        gain=gain,
        source=f"measured {_day(plain)}: {RUNS} × ({plain.median:.2f} s − {filtered.median:.2f} s with the filter)",
        evidence=(f"LVM scans {kinds} devices, none of which can hold its volumes",),
        change=f"devices {{ global_filter = {FILTER} }} in /etc/lvm/lvm.conf",
        risk="volume groups that do lie on such a device would not be found any more",
        undo="take the line out again",
        by=By.HAND,
        measure="devices",
    )


def _zfs(facts: HostFacts) -> Advice | None:
    timing = facts.timings.get("zfs-list")
    if timing is None or timing.lines < 200:
        return None
    return Advice(
        id="zfs-snapshots",
        title="delete snapshots that nobody needs",
        gain=timing.median * 0.5,
        source=f"measured {_day(timing)}: half of {timing.median:.1f} s for one listing of {timing.lines} datasets and snapshots",
        evidence=(
            f"`{timing.command}` takes {timing.median:.1f} s; a satellite runs it at each start",
        ),
        change="zfs destroy of old snapshots; LINSTOR's own with `linstor snapshot delete`",
        risk="what is deleted is gone",
        undo="none",
        by=By.HAND,
        measure="devices",
    )


def _network(facts: HostFacts) -> Advice | None:
    late = max(facts.waits, key=lambda wait: wait.seconds, default=None)
    if late is None or late.seconds < 2.0:
        return None
    return Advice(
        id="network-online",
        title="have the boot wait only for links that the storage needs",
        gain=late.seconds - 1.0,
        source=f"this boot: {late.unit} took {late.seconds:.1f} s, less 1 s for the links that are needed",
        evidence=(f"the satellite waits for network-online.target, and that for {late.unit}",),
        change="name the replication links: --interface=LINK for systemd-networkd-wait-online, or connection.wait-device-timeout",
        risk="what needs the other links starts before them",
        undo="take the change out again",
        by=By.HAND,
        measure="before",
    )


def _delays(facts: HostFacts) -> Advice | None:
    slow = [one for one in facts.autostart if one.delay > 0]
    if not slow:
        return None
    at_once = max(facts.cpus // INCUS_SHARE, 1)
    total = sum(one.delay for one in slow)
    named = ", ".join(f"{one.name} {one.delay:g} s" for one in slow[:5])
    return Advice(
        id="autostart-delay",
        title="take out boot.autostart.delay where nothing needs it",
        gain=total / at_once,
        source=f"estimate: {total:g} s of delays / {at_once} instances that Incus starts at once ({facts.cpus} processors / {INCUS_SHARE})",
        evidence=(f"{len(slow)} instances have a delay: {named}",),
        change="incus config unset INSTANCE boot.autostart.delay",
        risk="an instance that relied on another's delay may start too early",
        undo="incus config set INSTANCE boot.autostart.delay SECONDS",
        by=By.HAND,
        measure="instances",
    )


_RULES: Final[tuple[Callable[[HostFacts], Advice | None], ...]] = (
    _jvm,
    _devices,
    _wake,
    _lvm,
    _zfs,
    _network,
    _delays,
)


def missing(facts: HostFacts) -> tuple[str, ...]:
    """Return what could not be judged, and what would tell."""
    found = []
    if not facts.boots:
        found.append("no boot is recorded yet: the agent records each from its installation on")
    elif facts.phase("jvm") is None:
        found.append(
            "no recorded boot says how long the satellite's JVM took: the agent has to run while it starts"
        )
    if facts.java is None:
        found.append("the satellite's JVM was not found, so nothing is said of its flags")
    if facts.not_timed:
        found.append(f"no command was timed: {facts.not_timed}")
    return tuple(found)


def shares(facts: HostFacts) -> Mapping[str, float]:
    """Return the seconds that our own parts took in this boot, by unit: they stand in the same list."""
    return dict(sorted(facts.own.items(), key=lambda item: -item[1]))


def _boots(count: int) -> str:
    return "one recorded boot" if count == 1 else f"{count} recorded boots"


def _day(timing: Timing) -> str:
    return datetime.fromtimestamp(timing.at, UTC).strftime("%Y-%m-%d")
