# SPDX-License-Identifier: Apache-2.0
"""What went wrong with units and their order: failed ones that others rest on, circles, who was started too early."""

import re
from typing import Final

from tidegate.boot import rules_controller
from tidegate.boot.case import Case, known, name, secs
from tidegate.boot.facts import CONTROLLER_UNIT, GATE_UNIT, INCUS_UNIT, SATELLITE_UNIT, STARTUP_UNIT
from tidegate.boot.model import Confidence, Kind

_CHAIN: Final = frozenset({SATELLITE_UNIT, CONTROLLER_UNIT, INCUS_UNIT, STARTUP_UNIT, GATE_UNIT})


_UNDER: Final = (
    "unit/systemd-modules-load.service",
    "unit/zfs-",
    "unit/lvm2-",
    "unit/drbd",
    "unit/lxcfs.service",
    "unit/network",
    "unit/NetworkManager",
    "unit/systemd-networkd",
    "unit/multipathd",
    "unit/iscsi",
    "unit/tidegate-",
)
"""Units that storage, network and Incus rest on."""


def cycles(case: Case) -> None:
    """Add the circles that systemd cut, and what followed from the job that it threw away."""
    for event in case.facts.all(Kind.UNIT_JOB_DELETED)[:8]:
        cut = event.subject.partition("/")[2]
        key = case.graph.add(
            "order.cycle",
            event.subject,
            f"The order of units held a circle; systemd threw away the job {cut}/{event.data.get('job', 'start')} to cut it ({secs(event.at)}).",
            begin=event.at,
            events=[*case.facts.all(Kind.UNIT_CYCLE)[:3], event],
        )
        case.graph.hit(key, event.subject)
        for effect in list(case.graph.nodes):
            if _follows_from_cut(event.subject, effect):
                case.graph.link(key, effect, f"{cut} was not started, or not in its order", [event])


_IMPORTS: Final = re.compile(r"unit/(?:zfs-import|lvm|vgchange)")


def _follows_from_cut(unit: str, effect: str) -> bool:
    code = effect.partition(":")[0]
    if unit == SATELLITE_UNIT:
        return code in {"satellite.not-started", "satellite.offline"}
    if unit in {INCUS_UNIT, STARTUP_UNIT}:
        return code == "incus.never-started"
    if unit == GATE_UNIT or "tidegate" in unit:
        return code in {"satellite.late", "devices.late", "volume.path-missing"}
    if "modules-load" in unit:
        return code.startswith("drbd.module-")
    return False


def failed(case: Case) -> None:
    """Add the failed units that storage, network and Incus rest on."""
    facts, graph = case.facts, case.graph
    _emergency(case)
    for event in facts.of(Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT):
        subject = event.subject
        if subject in _CHAIN or f"unit.failed:{subject}" in graph.nodes:
            continue
        if "wait-online" in subject and known(case, "network.late"):
            continue  # it says the same
        if "modules-load" in subject and known(case, "drbd.module-"):
            continue  # the module's own lines say more
        if _IMPORTS.match(subject) and known(case, "storage."):
            continue  # what it said when it failed is told there
        under = subject.startswith(_UNDER) or "wait-online" in subject or subject.endswith(".mount")
        if not under:
            continue
        key = graph.add(
            "unit.failed",
            subject,
            f"{name(subject)} failed at {secs(event.at)}.",
            begin=event.at,
            events=[event, facts.first(Kind.UNIT_EXITED, subject)],
            note=True,
        )
        for effect in list(graph.nodes):
            code = effect.partition(":")[0]
            if _rests_on(subject, code):
                graph.link(key, effect, f"{name(subject)} is under it", [event])
    rules_controller.own_failed(case)


def _emergency(case: Case) -> None:
    """A file system that does not come stops the whole boot: local-fs.target fails, systemd goes into emergency mode."""
    facts = case.facts
    event = facts.first(Kind.UNIT_DEPENDENCY, "unit/local-fs.target")
    before = [
        e
        for e in facts.of(Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT, Kind.UNIT_DEPENDENCY)
        if e.subject.endswith((".mount", ".device", ".service"))
        and event is not None
        and e.at <= event.at + 1
    ]
    if event is None:
        return
    who = before[0].subject if before else event.subject
    key = case.graph.add(
        "unit.failed",
        who,
        f"{name(who)} did not come ({secs(event.at)}), and with it local-fs.target failed: the boot went into emergency mode.",
        begin=before[0].at if before else event.at,
        events=[*before[:3], event],
    )
    case.graph.hit(key, "host")


def _rests_on(unit: str, code: str) -> bool:
    if "wait-online" in unit or "network" in unit.lower():
        return code in {
            "network.late",
            "controller.unreachable",
            "controller.name",
            "incus.dependency-failed",
        }
    if "modules-load" in unit:
        return code.startswith("drbd.module-")
    if unit.endswith(".mount") or "zfs" in unit or "lvm2" in unit:
        return code in {"storage.missing", "storage.made-anew", "volume.not-mountable"}
    return unit == "unit/lxcfs.service" and code == "incus.dependency-failed"


def early(case: Case) -> None:
    """Say who else started incusd than its start-up check, where its pools failed for being early (facts/incus.md U6)."""
    facts = case.facts
    incus = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    listening = facts.first(Kind.UNIT_LISTENING, "unit/incus.socket")
    if incus is None or listening is None:
        return
    check = facts.first(Kind.UNIT_STARTING, STARTUP_UNIT)
    ours = (
        facts.begun(GATE_UNIT) is not None or facts.begun("unit/tidegate-agent.service") is not None
    )
    if ours or (check is not None and check.at <= incus.at):
        return
    late = [
        key
        for key in case.graph.nodes
        if key.startswith(("satellite.late", "order.", "controller."))
    ]
    key = case.graph.add(
        "incus.socket-early",
        "incus",
        f"incus.service began at {secs(incus.at)}, before its start-up check "
        f"{f'({secs(check.at)})' if check is not None else '(which never ran)'}: something else touched its socket.",
        begin=incus.at,
        events=[listening, incus, check],
        confidence=Confidence.LIKELY,
        alternatives=("incus.service is enabled or wanted by itself",),
        tell="systemctl show -p WantedBy incus.service; what ran in the second before",
        note=True,
    )
    for effect in late:
        if effect.startswith("satellite.late"):
            case.graph.link(key, effect, "so early the satellite cannot be ready", [incus])
