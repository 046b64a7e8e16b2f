# SPDX-License-Identifier: Apache-2.0
"""From the satellite's open port until the controller has it ONLINE: rounds of the controller, and the controller's own start."""

from typing import Final

from tidegate.tuning import figure, jvm, rules_satellite
from tidegate.tuning.advice import Advice, Rule
from tidegate.tuning.facts import Database, HostFacts
from tidegate.tuning.figure import Seen, size

CONNECTING: Final = 2.0
"""Seconds from an open port until ONLINE when the controller dials at once (facts/observed.md: 2.1 to 2.3 s; without that 16.5 s)."""
ROUND: Final = 10.0
"""Seconds between two rounds of the controller's reconnector (facts/linstor-observed.md A7: up to two of them are lost)."""
DISK_READS: Final = 100e6
"""Bytes per second that a rotational disk reads at least, one file after the other: what a database on it costs at most."""


def wake(facts: HostFacts) -> Advice | None:
    """The agent has the controller dial as soon as the port is open."""
    known = facts.phase("connect")
    if known is None or (facts.agent and facts.wakes):
        return None
    seconds, count = known
    lost = rounds_lost(facts)
    setting = "recovery.wake_controller = true in /etc/tidegate/tidegate.toml"
    unit = "systemctl enable --now tidegate-agent.service"
    return Advice(
        id="wake-controller",
        title="have the controller dial the satellite as soon as its port is open",
        gain=max(0.0, seconds - CONNECTING),
        source=figure.estimate(
            f"{seconds:.1f} s, the median of {figure.counted(count)}, less {CONNECTING:g} s for connecting and the full sync"
        ),
        evidence=(
            Seen(
                text=f"from the open port until ONLINE: {seconds:.1f} s; in {lost} of {count} boots a round of {ROUND:g} s or more was lost",
                source=figure.boots(count),
            ),
        ),
        change=(setting if not facts.wakes else unit,),
        risk="none known: it is what the controller's next round does",
        undo="recovery.wake_controller = false",
        measure="connect",
    )


def rounds_lost(facts: HostFacts) -> int:
    """Return the recorded boots in which a round of the controller was lost at least."""
    return sum(boot.phases.get("connect", 0.0) > CONNECTING + ROUND / 2 for boot in facts.boots)


def controller_late(facts: HostFacts) -> tuple[float, float] | None:
    """Return the seconds that the controller's start took in this boot, and those of them that the satellite's open port waited for it."""
    service, listening = facts.controller, facts.phase("listening")
    started = facts.times.get(service.unit) if service is not None else None
    if started is None or listening is None:
        return None
    return started.took, max(0.0, started.active - listening[0])


def controller_jvm(facts: HostFacts) -> Advice | None:
    """The controller's own start, where it runs on this host and its satellite waits for it."""
    service, java, late = facts.controller, facts.java, controller_late(facts)
    if service is None or java is None or late is None:
        return None
    if set(jvm.QUICK) <= set(service.options.split()) or jvm.chooses_collector(service.options):
        return None
    if not set(jvm.TRIED) <= java.accepts:
        return None
    took, waited = late
    share = rules_satellite.FLAGS_SAVE
    change, undo, edit = rules_satellite.option_change(service, "controller-jvm", jvm.QUICK)
    return Advice(
        id="controller-jvm",
        title="start the controller's JVM with the serial collector and the quick compiler",
        gain=min(share * took, waited),
        source=figure.estimate(
            f"the lesser of {share:g} × {took:.1f} s that its start took in this boot, and {waited:.1f} s for which the satellite's port was open before"
        ),
        evidence=(
            Seen(
                text=f"{service.unit} was active {waited:.1f} s after the satellite's port was open, its start took {took:.1f} s",
                source=figure.this_boot(facts.at),
            ),
        ),
        change=change,
        risk="a controller of very many resources computes more slowly later",
        undo=undo,
        edit=edit,
        measure="connect",
    )


def database_gain(facts: HostFacts, database: Database) -> float:
    """Return what reading the database from something quicker would save at most, in seconds: no more than its controller is waited for."""
    slow = any(facts.media[name].rotational for name in database.media if name in facts.media)
    late = controller_late(facts)
    most = database.size / DISK_READS if slow else 0.0
    return most if late is None else min(most, late[1])


def database(facts: HostFacts) -> Advice | None:
    """Where the controller's database lies."""
    found = facts.database
    if found is None:
        return None
    return Advice(
        id="controller-database",
        title="put the controller's database on an SSD",
        gain=database_gain(facts, found),
        source=figure.estimate(
            f"{size(found.size)} / {size(DISK_READS)} per second, what a rotational disk reads, at most what its controller is waited for"
        ),
        evidence=(
            Seen(
                text=f"{found.path} lies on {', '.join(found.media)}",
                source=figure.read(facts.at, "/sys/block"),
            ),
        ),
        change=(
            "systemctl stop linstor-controller",
            f"cp -a {found.path}* /NEW/PLACE/, then connection_url in /etc/linstor/linstor.toml",
        ),
        risk="a database that is copied while the controller runs is damaged",
        undo="the old connection_url",
        measure="connect",
    )


RULES: Final[tuple[Rule, ...]] = (wake, controller_jvm, database)
