# SPDX-License-Identifier: Apache-2.0
"""What lies around the storage: the network that the satellite waits for, the order in which Incus starts instances, and the shutdown before."""

from typing import Final

from tidegate.tuning import figure, incus, result, rules_devices
from tidegate.tuning.advice import Advice, Edit, Rule, When
from tidegate.tuning.facts import HostFacts
from tidegate.tuning.figure import Seen, size
from tidegate.tuning.rules_metadata import crash_bytes

NETWORKD: Final = "systemd-networkd-wait-online.service"
WAITERS: Final = (NETWORKD, "NetworkManager-wait-online.service", "ifupdown-wait-online.service")
NEEDED: Final = 1.0
"""Seconds that the links which are needed take to come up: what remains of the wait."""
SLOW: Final = 2.0


def network(facts: HostFacts) -> Advice | None:
    """network-online.target waits for links that neither storage nor controller is reached through."""
    if facts.satellite is None or not facts.satellite.online:
        return None
    waits = [found for name in WAITERS if (found := rules_devices.held(facts, name)) is not None]
    late = max(waits, key=lambda wait: wait.took, default=None)
    needed = [link.name for link in facts.links if link.needed]
    others = [link.name for link in facts.links if not link.needed]
    if late is None or late.took < SLOW or (facts.links and not others):
        return None
    known = bool(needed and others)
    seen = f"it waits for {', '.join(others)} too; storage and controller need {', '.join(needed)}"
    more = (
        (Seen(text=seen, source=figure.read(facts.at, "DRBD's addresses and the routes")),)
        if known
        else ()
    )
    edit = _only(facts.wait_command, needed) if known and late.unit == NETWORKD else None
    change = edit.sections["Service"][-1] if edit is not None else ""
    by_hand = "name the links of storage and controller: connection.wait-device-timeout (NetworkManager), `allow-hotplug` (ifupdown), RequiredForOnline= (networkd)"
    return Advice(
        id="network-online",
        title="have the boot wait only for links that the storage needs",
        gain=late.took - NEEDED,
        source=figure.estimate(
            f"{late.took:.1f} s that {late.unit} took in this boot, less {NEEDED:g} s for the links that are needed"
        ),
        evidence=(
            Seen(
                text=f"the satellite waits for network-online.target, and that for {late.unit}: {late.took:.1f} s",
                source=figure.this_boot(facts.at),
            ),
            *more,
            *rules_devices.beside(facts, late.unit),
        ),
        change=(f"{change}    in a drop-in of {late.unit}" if edit else by_hand,),
        risk="what needs the other links starts before them",
        undo="tidegate tune revert network-online" if edit else "take the change out again",
        edit=edit,
        measure="before",
    )


def _only(command: str, links: list[str]) -> Edit | None:
    """The packaged command, told to wait for ``links`` alone; None where it is told something about links already."""
    if not command or any(word in command for word in ("--interface", "-i ", "--any", "--ignore")):
        return None
    named = " ".join(f"--interface={name}" for name in links)
    return Edit(unit=NETWORKD, sections={"Service": ("ExecStart=", f"ExecStart={command} {named}")})


def delays(facts: HostFacts) -> Advice | None:
    """Incus sleeps after each start that has a delay, and all that come later wait."""
    slow = [one for one in incus.in_turn(facts.autostart) if one.delay]
    total = incus.slept(facts.autostart)
    named = ", ".join(f"{one.name} {one.delay:g} s" for one in slow[:5])
    return Advice(
        id="autostart-delay",
        title="take out boot.autostart.delay where nothing needs it",
        gain=total,
        source=figure.estimate(
            f"the sum of all delays but the last instance's, {total:g} s: instances with a delay start one after the other"
        ),
        evidence=(
            Seen(
                text=f"{len(slow)} instances have a delay: {named}",
                source=figure.read(facts.at, "Incus"),
            ),
        ),
        change=tuple(
            f"incus config unset {_words(one.name)} boot.autostart.delay" for one in slow[:5]
        ),
        risk="an instance that relied on another's delay may start too early",
        undo="incus config set INSTANCE boot.autostart.delay SECONDS",
        measure="instances",
    )


def priorities(facts: HostFacts) -> Advice | None:
    """A priority takes an instance out of those that start beside each other, and puts it behind them (facts/incus.md A5)."""
    known = facts.phase("instances")
    ranked = [one for one in facts.autostart if one.priority is not None and not one.delay]
    if known is None or not ranked:
        return None
    seconds, count = known
    now = incus.steps(facts.autostart, facts.cpus)
    plain = [one for one in facts.autostart if one not in ranked]
    freed = [*plain, *(incus.Autostart(name=one.name) for one in ranked)]
    then = incus.steps(freed, facts.cpus)
    working = max(0.0, seconds - incus.slept(facts.autostart))
    named = ", ".join(one.name for one in ranked[:5])
    return Advice(
        id="autostart-priority",
        title="take out boot.autostart.priority where nothing needs it",
        gain=working * (now - then) / now,
        source=figure.estimate(
            f"{working:.1f} s of starts, from the median of {figure.counted(count)}, × ({now} − {then}) / {now} starts behind each other"
        ),
        evidence=(
            Seen(
                text=f"{len(ranked)} instances start one by one behind all others, of which {incus.width(facts.cpus)} start at once: {named}",
                source=figure.read(facts.at, "Incus"),
            ),
        ),
        change=tuple(
            f"incus config unset {_words(one.name)} boot.autostart.priority" for one in ranked[:5]
        ),
        risk="the order among instances is then left to chance",
        undo="incus config set INSTANCE boot.autostart.priority NUMBER",
        measure="instances",
    )


def shutdown(facts: HostFacts) -> Advice | None:
    """What is killed while it shuts down may come back as after a crash: with a resync."""
    before = facts.shutdown
    if before is None or not before.forced:
        return None
    gain, source = _resync(facts)
    killed = ", ".join(before.forced[:4])
    return Advice(
        id="slow-shutdown",
        title="give the shutdown the time that it needs",
        gain=gain,
        source=source,
        evidence=(
            Seen(
                text=f"the shutdown before this boot took {before.took or 0.0:.0f} s, and killed {killed}"
                + ("; this boot began with a resync" if facts.resynced else ""),
                source="recorded: the journal of the boot before",
            ),
        ),
        change=(
            "incus config set INSTANCE boot.host_shutdown_timeout SECONDS    for an instance that needs longer than 30 s",
            "TimeoutStopSec= of incus.service above the sum, in a drop-in",
        ),
        risk="a shutdown may take longer",
        undo="incus config unset INSTANCE boot.host_shutdown_timeout",
        measure=result.RESYNC,
        when=When.CRASH,
    )


def _resync(facts: HostFacts) -> tuple[float, str]:
    """Return what the resync at the start of this boot took, and where that is from; at most what activity logs cost where it is not recorded."""
    recorded = facts.boots[-1].phases.get(result.RESYNC) if facts.boots else None
    if recorded is not None:
        return recorded, f"recorded: the last boot began with {recorded:.1f} s of resync"
    known, rate = crash_bytes(facts.volumes), facts.resync_rate
    if not known or not rate:
        return 0.0, figure.estimate("0, the resync's size is not known")
    text = f"at most {size(known)} of activity logs / {size(rate)} per second"
    return known / rate, figure.estimate(text)


def _words(name: str) -> str:
    project, _, instance = name.partition("/")
    return f"{instance} --project {project}" if project != "default" else instance


RULES: Final[tuple[Rule, ...]] = (network, delays, priorities, shutdown)
