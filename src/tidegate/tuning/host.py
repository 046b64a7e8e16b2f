# SPDX-License-Identifier: Apache-2.0
"""One host judged: what is worth doing, what was looked at and gains nothing, what our own parts cost, and what could not be judged."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.core.ids import AGENT_UNIT
from tidegate.tuning import (
    advice,
    figure,
    incus,
    jvm,
    rules_control,
    rules_devices,
    rules_metadata,
    rules_satellite,
    rules_start,
)
from tidegate.tuning.advice import Advice
from tidegate.tuning.facts import HostFacts
from tidegate.tuning.figure import size, span

GATE: Final = "tidegate-ready.service"
DEVICES: Final = "tidegate-devices.service"
OWN: Final = (AGENT_UNIT, GATE, DEVICES)
_RULES: Final = (
    *rules_satellite.RULES,
    *rules_control.RULES,
    *rules_devices.RULES,
    *rules_metadata.RULES,
    *rules_start.RULES,
)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was looked at: what it costs, where that is from, and why it is no advice."""

    what: str
    cost: str
    source: str
    why: str = ""


def advise(facts: HostFacts) -> tuple[Advice, ...]:
    """Return what is worth doing on this host, the most seconds first; what is in force already is left out."""
    return advice.choose(_RULES, facts)


def looked(facts: HostFacts) -> tuple[Looked, ...]:
    """Return what else was measured or read, each with its cost: that it gains nothing is worth knowing, too."""
    parts = (
        *(_phases, _rounds, _commands, _lvm, _archive, _controller, _database, _media, _crash),
        *(_width, _images, _shutdown),
    )
    return tuple(one for part in parts for one in part(facts))


def own(facts: HostFacts) -> tuple[Looked, ...]:
    """Return what our own parts took of this boot."""
    return tuple(_own(facts))


def missing(facts: HostFacts) -> tuple[str, ...]:
    """Return what could not be judged, and what would tell."""
    return tuple(_missing(facts))


def _phases(facts: HostFacts) -> Iterator[Looked]:
    names = {
        "before": "from the kernel to the satellite's start",
        "jvm": "from there until its port is open",
        "connect": "until the controller has it ONLINE",
        "devices": "until all wanted volumes are ready",
        "instances": "until the last instance runs",
    }
    for name, what in names.items():
        if (known := facts.phase(name)) is not None:
            each = ""
            if name == "devices" and facts.resources:
                each = f"{span(known[0] / facts.resources)} for each of {facts.resources} resources kept here"
            yield Looked(what=what, cost=span(known[0]), source=figure.boots(known[1]), why=each)


def _rounds(facts: HostFacts) -> Iterator[Looked]:
    known = facts.phase("connect")
    if known is None:
        return
    lost = rules_control.rounds_lost(facts)
    wakes = facts.agent and facts.wakes
    yield Looked(
        what="rounds of the controller that the satellite's open port waited for",
        cost=f"at least one in {lost} of {known[1]} boots",
        source=figure.boots(known[1]),
        why="the agent has the controller dial at once" if wakes else "nobody wakes the controller",
    )


def _lvm(facts: HostFacts) -> Iterator[Looked]:
    if (found := facts.lvm) is None:
        return
    settings = f"devices file {found.devices_file or '?'}, event activation {found.event_activation or '?'}, global_filter {found.global_filter or '?'}"
    yield Looked(what="LVM's settings", cost=settings, source=figure.read(facts.at, "lvmconfig"))
    if found.hidden:
        yield Looked(
            what="groups on zvols, loop or DRBD devices",
            cost=", ".join(found.hidden),
            source=figure.measured(facts.at),
            why="a filter against such devices would hide them, so none is advised",
        )
    for group, seconds in found.activated.items():
        yield Looked(
            what=f"activation of {group} by events",
            cost=span(seconds),
            source=figure.this_boot(facts.at),
            why="the satellite does not wait for it, and activates what it needs by itself",
        )


def _media(facts: HostFacts) -> Iterator[Looked]:
    source = figure.read(facts.at, "DRBD and /sys/block")
    for what in ("data", "meta"):
        lies: dict[str, int] = {}
        for volume in facts.volumes:
            for name in volume.data if what == "data" else volume.meta:
                lies[name] = lies.get(name, 0) + 1
        for name, count in sorted(lies.items()):
            kind = facts.media[name].kind if name in facts.media else "?"
            word = "data" if what == "data" else "metadata"
            yield Looked(
                what=f"{word} of {count} volumes", cost=f"on {name}, {kind}", source=source
            )


def _commands(facts: HostFacts) -> Iterator[Looked]:
    notes = {
        "lvs": "a satellite runs it four times until its first run is over",
        "pvdisplay": "a satellite runs it once for each volume group",
        "zfs-list": "a satellite runs it twice",
        "sh-udev": f"udev runs it for each of {facts.udev_devices} DRBD devices",
        "blkid": "udev does as much for each device that comes up",
    }
    for name, timing in facts.timings.items():
        yield Looked(
            what=f"`{timing.command}`, {timing.lines} lines",
            cost=span(timing.median),
            source=figure.measured(timing.at, len(timing.seconds)),
            why=notes.get(name, ""),
        )
    for one in facts.writes:
        kinds = ", ".join(facts.media[name].kind for name in one.media if name in facts.media)
        yield Looked(
            what=f"a small synced write in {one.directory}" + (f" ({kinds})" if kinds else ""),
            cost=span(one.timing.median),
            source=figure.measured(one.timing.at, len(one.timing.seconds)),
            why="what an update of DRBD's activity log costs there",
        )


def _archive(facts: HostFacts) -> Iterator[Looked]:
    gain, known = rules_satellite.archive_gain(facts), facts.archive
    if known is not None and "class-archive" in facts.applied:
        yield Looked(
            what="the satellite's class-data archive",
            cost=known.state,
            source=figure.read(facts.at, known.folder),
        )
        return
    if gain is None or known is None:
        return
    if known.obstacle:
        why = f"cannot be made here: {known.obstacle}"
    elif gain[0] < rules_satellite.ARCHIVE_WORTH:
        why = "not worth replacing the satellite's start command"
    else:
        return
    yield Looked(
        what="a class-data archive for the satellite",
        cost=f"would gain {span(gain[0])}",
        source=figure.estimate(gain[1]),
        why=why,
    )


def _controller(facts: HostFacts) -> Iterator[Looked]:
    late = rules_control.controller_late(facts)
    if late is None:
        return
    why = "before the satellite's port is open: nothing waits for it"
    if late[1] > 0:
        why = f"the satellite's open port waits {span(late[1])} for it"
    yield Looked(
        what="the controller's own start",
        cost=span(late[0]),
        source=figure.this_boot(facts.at),
        why=why,
    )


def _database(facts: HostFacts) -> Iterator[Looked]:
    found = facts.database
    if found is None:
        return
    gain = rules_control.database_gain(facts, found)
    if gain >= advice.WORTH_IT:
        return
    kinds = ", ".join(facts.media[name].kind for name in found.media if name in facts.media)
    yield Looked(
        what=f"the controller's database {found.path}, {size(found.size)} on {kinds or 'an unknown medium'}",
        cost=f"moving it gains {span(gain)}",
        source=figure.estimate(
            "its size / 100 MB per second where the disk is rotational and the controller is waited for as long, else nothing"
        ),
    )


def _crash(facts: HostFacts) -> Iterator[Looked]:
    amount = rules_metadata.crash_bytes(facts.volumes)
    if amount is None:
        return
    inside = sum(volume.internal for volume in facts.volumes)
    yield Looked(
        what=f"activity logs of {len(facts.volumes)} volumes, {inside} with metadata beside the data",
        cost=f"up to {size(amount)} to resynchronise",
        source=figure.estimate("al-extents × 4 MiB, at most the volume's size, summed"),
        why="after a crash only; instances run meanwhile",
    )


def _width(facts: HostFacts) -> Iterator[Looked]:
    if not facts.autostart:
        return
    yield Looked(
        what=f"Incus starts {len(facts.autostart)} instances, {incus.width(facts.cpus)} at once",
        cost=f"{incus.steps(facts.autostart, facts.cpus)} starts behind each other",
        source=figure.estimate(
            f"max({facts.cpus} processors / {incus.CPUS_PER_START}, 1) at once; those with a delay or a priority one by one"
        ),
        why="Incus has no setting for it; the agent starts what Incus could not, as many at once as go quickly",
    )


def _shutdown(facts: HostFacts) -> Iterator[Looked]:
    found, slow = facts.shutdown, rules_start.shutdown(facts)
    if found is None or found.took is None or (slow and slow.gain >= advice.WORTH_IT):
        return
    why = (
        f"it killed {', '.join(found.forced[:4])}; {slow.source}" if slow else "nothing was killed"
    )
    yield Looked(
        what="the shutdown before this boot",
        cost=span(found.took),
        source="recorded: the journal of the boot before",
        why=why,
    )


def _images(facts: HostFacts) -> Iterator[Looked]:
    if not facts.unpacking:
        return
    yield Looked(
        what=f"image volumes left half unpacked by a crash: {', '.join(facts.unpacking[:3])}",
        cost=f"{len(facts.unpacking)} to unpack again",
        source=figure.read(facts.at, "LINSTOR"),
        why="when an instance is made of them, not at boot",
    )


def _own(facts: HostFacts) -> Iterator[Looked]:
    source = figure.this_boot(facts.at)
    listening, ready = facts.phase("listening"), facts.phase("volumes")
    if (agent := facts.times.get(AGENT_UNIT)) is not None:
        why = "nothing waits for it"
        if listening is not None:
            beside = listening[0] - agent.active
            where = "before" if beside >= 0 else "AFTER"
            why = f"active {span(abs(beside))} {where} the satellite's port is open ({figure.boots(listening[1])}); nothing waits for it"
        yield Looked(what=AGENT_UNIT, cost=span(agent.took), source=source, why=why)
    if (gate := facts.times.get(GATE)) is not None:
        why = f"held Incus until {gate.active:.1f} s after boot"
        if ready is not None:
            why += f"; the storage was ready at {ready[0]:.1f} s ({figure.boots(ready[1])})"
        yield Looked(what=GATE, cost=span(gate.took), source=source, why=why)
    if (devices := facts.times.get(DEVICES)) is not None:
        yield Looked(
            what=DEVICES,
            cost=span(devices.took),
            source=source,
            why="the satellite starts after it",
        )


def _missing(facts: HostFacts) -> Iterator[str]:
    if not facts.boots:
        yield "no boot is recorded yet: the agent records each from its installation on"
    elif facts.phase("jvm") is None:
        yield "no recorded boot says how long the satellite's JVM took: the agent has to run while it starts"
    if facts.satellite is None:
        yield "linstor-satellite.service is not on this host: nothing is said of its start"
    elif facts.java is None and not facts.not_timed:
        yield "the satellite's JVM was not found, so nothing is said of its flags"
    elif facts.java is not None and facts.java.accepts < frozenset(jvm.TRIED):
        refused = sorted(frozenset(jvm.TRIED) - facts.java.accepts)
        yield f"{facts.java.version} does not accept {' '.join(refused)}: no flags are advised"
    yield from facts.not_asked
    if facts.not_timed:
        yield f"no command was timed: {facts.not_timed}"
    slow = [name for name, medium in facts.media.items() if medium.rotational]
    on_it = any(set(volume.meta) & set(slow) for volume in facts.volumes)
    if on_it and len(facts.writes) < 2:
        yield (
            "what small synced writes cost on the metadata's disk, and on a quicker one: tidegate tune --write-test DIR --write-test DIR, "
            "one on each"
        )
    if facts.orphans is None and facts.resources and not facts.not_timed:
        yield "whether LINSTOR still knows every resource kept here: no controller answered"
    for name in facts.drifted:
        yield f"{name} is in force, but what it was made from has changed since: tidegate tune revert {name}, then apply it again"
