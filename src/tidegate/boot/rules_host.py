# SPDX-License-Identifier: Apache-2.0
"""What went wrong in the host itself, in the satellite without Incus being hurt yet, and in the order of units."""

from typing import Final

from tidegate.boot import (
    rules_controller,
    rules_devices,
    rules_drbd,
    rules_exit,
    rules_kernel,
    rules_link,
    rules_satellite,
    rules_storage,
    rules_units,
    satellite,
)
from tidegate.boot.case import Case, known, secs
from tidegate.boot.facts import INCUS_UNIT, SATELLITE_UNIT, Facts
from tidegate.boot.model import Confidence, Kind


def examine(case: Case) -> None:
    """Add what the host's and the satellite's lines say by themselves."""
    rules_units.cycles(case)
    _satellite(case)
    rules_drbd.by_themselves(case)
    _storage(case)
    rules_kernel.examine(case)
    rules_units.failed(case)
    rules_units.early(case)
    _notes(case)


def _satellite(case: Case) -> None:
    """Faults of the satellite that are there whether or not somebody was hurt by them."""
    facts, graph = case.facts, case.graph
    steps = satellite.start(facts)
    ended = rules_exit.ended(case, facts.end)
    if ended:
        _stays_down(case, ended)
    elif steps.spoke:
        for one in satellite.starts(facts):
            if not known(case, "controller.late"):
                rules_satellite.no_controller(case, one)
            rules_satellite.never_synced(case, one)
        if steps.answered is not None:
            stuck = rules_devices.standing_still(case, steps)
            graph.link(stuck, "devices.late:satellite", "devices come in the run that stood still")
    _never_ready(case)
    rules_satellite.false_online(case)
    rules_link.examine(case)
    _tools(case)
    rules_controller.turned_away(case)


_STARTS_BY: Final = 25.0
"""Seconds for which a satellite's unit may be starting without a word of its log."""


def _never_ready(case: Case) -> None:
    """Say that the satellite's unit (of Type=notify) was still starting when the lines end, with Incus behind it."""
    facts = case.facts
    starting = facts.last(Kind.UNIT_STARTING, SATELLITE_UNIT)
    ends = (Kind.UNIT_STARTED, Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT, Kind.UNIT_STOPPED)
    if starting is None or facts.shutdown is not None or facts.end - starting.at < _STARTS_BY:
        return
    if any(facts.first(kind, SATELLITE_UNIT, after=starting.at) for kind in ends):
        return
    steps = satellite.start(facts)
    if (
        steps.spoke
        and steps.until - (steps.connected or steps.listening or starting).at < _STARTS_BY
    ):
        return
    waits = facts.begun(INCUS_UNIT) is None
    key = case.graph.add(
        "satellite.never-ready",
        "satellite",
        f"The satellite's unit was still starting when the lines end, after {secs(facts.end - starting.at)}: with Type=notify it is ready only "
        f"after a controller connected and its first run is over{'; incus.service waits for it and was not started' if waits else ''}.",
        begin=starting.at,
        events=[starting, steps.listening, steps.connected],
        confidence=Confidence.LIKELY,
        not_seen=(
            "“Started linstor-satellite.service”",
            *(("“Starting incus.service”",) if waits else ()),
        ),
        alternatives=("satellite.no-controller", "satellite.stuck"),
        tell="the satellite's own lines, and where the controller runs: in an instance of this host it is a deadlock",
    )
    if waits:
        case.graph.hit(key, "incus")
    for cause in ("satellite.no-controller:satellite", "satellite.stuck:satellite"):
        case.graph.link(cause, key, "the unit is ready only after that")


def _stays_down(case: Case, ended: str) -> None:
    """A satellite that is gone keeps the pools away, whatever their first error was."""
    gone = case.graph.nodes[ended]
    if "stays failed" not in gone.sentence and gone.code != "satellite.stopped":
        return
    for pool in case.pools:
        last = max((attempt.at for attempt in pool.attempts if attempt.error), default=0.0)
        if last > gone.begin and pool.ready is None:
            case.graph.link(
                ended,
                f"pool.unavailable:{pool.subject}",
                "without its satellite the node stays OFFLINE",
            )


def _tools(case: Case) -> None:
    facts = case.facts
    tool = facts.first(Kind.SATELLITE_TOOL_MISSING)
    if (
        tool is not None
        and not known(case, "satellite.stuck")
        and not known(case, "satellite.tool-missing")
    ):
        case.graph.add(
            "satellite.tool-missing",
            "satellite",
            f"The satellite could not use {tool.data.get('tool', 'a tool')} at {secs(tool.at)}: volumes that need it do not come up.",
            begin=tool.at,
            events=[tool, *facts.all(Kind.RESOURCE_FAILED)[:3]],
            confidence=Confidence.LIKELY,
            alternatives=("satellite.stuck",),
            tell="the error report that the line names: not there, or hanging",
        )
    utils = next(
        (e for e in facts.all(Kind.SATELLITE_ERROR) if e.data.get("class") == "utils-there"), None
    )
    module = next(
        (e for e in facts.all(Kind.MODULE_FAILED) if e.data.get("by") == "satellite"), None
    )
    loaded = facts.first(Kind.MODULE_LOADED) is not None or known(case, "drbd.module-missing")
    if utils is not None and module is not None and not loaded:
        case.graph.add(
            "drbd.module-missing",
            "host",
            f"DRBD's programs are installed and its module was not there when the satellite looked ({secs(module.at)}).",
            begin=module.at,
            events=[
                utils,
                module,
                *[e for e in facts.all(Kind.SATELLITE_ERROR) if e.data.get("class") == "events2"][
                    :1
                ],
            ],
            not_seen=("“drbd: initialized” of the kernel",),
        )


def _storage(case: Case) -> None:
    rules_storage.under(case)
    rules_storage.made_anew(case)
    reports = [
        e
        for e in case.facts.all(Kind.SATELLITE_ERROR)
        if e.data.get("class") == "report"
        and e.data.get("component") != "Controller"
        and e.data.get("module") != "Controller"
        and not e.data.get("err", "").startswith("/proc/")
    ]
    resources = case.facts.all(Kind.RESOURCE_FAILED)
    explained = any(
        known(case, code)
        for code in (
            "storage.missing",
            "satellite.stuck",
            "satellite.tool-missing",
            "satellite.error",
            "storage.made-anew",
        )
    )
    if resources and not explained:
        rules_devices.errors_of(case, resources)
    elif reports and not explained:
        first = reports[0]
        up = case.facts.first(Kind.UNIT_STARTED, INCUS_UNIT) is not None
        hurt = case.facts.of(Kind.INSTANCE_ATTEMPT_FAILED, Kind.POOL_MOUNT_FAILED)
        case.graph.add(
            "satellite.error",
            "satellite",
            f"The satellite wrote {sum(e.count for e in reports)} error report{'s' if len(reports) > 1 else ''} from {secs(first.at)} on: “{first.data.get('err', '')[:120]}”.",
            begin=first.at,
            events=reports[:5],
            confidence=Confidence.LIKELY,
            note=up and not hurt,
            alternatives=("storage.missing",),
            tell="the reports themselves, which name the command and its answer (read them together with the journal)",
        )


def cut_off_before(facts: Facts) -> bool:
    """Return whether the boot before was read too and ended without a shutdown."""
    return facts.before is not None and facts.before.shutdown is None


def _notes(case: Case) -> None:
    facts, graph = case.facts, case.graph
    unclean = facts.all(Kind.UNCLEAN_BEFORE)
    if unclean or cut_off_before(facts):
        graph.add(
            "host.power-loss",
            "host",
            "The boot before ended without a shutdown (power loss, crash or reset).",
            begin=unclean[0].at if unclean else 0.0,
            not_seen=("the shutdown in the journal of the boot before",)
            if cut_off_before(facts)
            else (),
            events=unclean[:4],
            confidence=Confidence.LIKELY,
            note=True,
        )
    steps = facts.all(Kind.CLOCK_STEP)
    if steps:
        by = next((e.data["seconds"] for e in steps if "seconds" in e.data), "")
        graph.add(
            "host.clock-step",
            "host",
            f"The clock was set{f' by {float(by):.0f} s' if by else ''} at {secs(steps[0].at)}.",
            begin=steps[0].at,
            events=steps[:4],
            note=True,
        )
        for effect in list(graph.nodes):
            if effect.startswith("controller.tls:"):
                graph.link("host.clock-step:host", effect, "certificates are judged by the clock")
    timeout = facts.first(Kind.NETWORK_TIMEOUT)
    if timeout is not None and not known(case, "network.late"):
        graph.add(
            "network.late",
            "host",
            f"The network was not up when the wait for it was given up ({secs(timeout.at)}).",
            begin=timeout.at,
            events=[timeout],
            note=True,
        )
