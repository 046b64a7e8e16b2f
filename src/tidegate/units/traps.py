# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the units as they are: the traps of boot orders in circulation, and what stock leaves open.

Each is in the facts (facts/incus.md section 1 and D19, facts/linstor.md 2.2 and 2.5, facts/observed.md) and was seen to lose instances
or to be without effect.
"""

import math
from collections.abc import Iterator
from typing import Final

from tidegate.config.policy import FailPolicy
from tidegate.core import ids
from tidegate.core.finding import Finding, Grade
from tidegate.units import codes, cycles, deadlock, graph, names, parse, render, show
from tidegate.units.deadlock import Hold
from tidegate.units.dropins import STOP_AFTER
from tidegate.units.graph import Graph, Transaction
from tidegate.units.host import DEFAULT_LIMIT, GUARD_SOCKET, GUARD_UNIT, READY_UNIT, HostView
from tidegate.units.implied import Kind
from tidegate.units.packaging import (
    DRIVER_WANTS,
    INCUS_SOCKET,
    INCUS_STARTUP,
    INCUS_UNIT,
    SATELLITE_UNIT,
    program,
)
from tidegate.units.tree import Index, Load, Unit

_DEFAULT_LIMIT: Final = 90.0
_STOCK_HOLDS: Final = frozenset(
    {
        "lxcfs.service",
        "incus-lxcfs.service",
        "openvswitch-switch.service",
        GUARD_UNIT,
        GUARD_SOCKET,
        *STOP_AFTER,
    }
)
"""Services that Incus waits for in its packagings, or by us, and that do not hold it."""
_SETUP: Final = 60.0
"""Seconds Incus needs for itself before its API answers."""
_STOP: Final = 300.0
"""Seconds incusd gives its operations at a stop (facts/incus.md I8)."""


class Scene:
    """A host's units with the graph and the transactions that are asked about again and again."""

    def __init__(self, host: HostView, index: Index) -> None:
        self.host = host
        self.index = index
        targets = ("default.target", "multi-user.target")
        anchor = next((name for name in targets if index.unit(name).load is Load.LOADED), None)
        roots = (INCUS_UNIT, INCUS_SOCKET, INCUS_STARTUP, SATELLITE_UNIT)
        self.graph = Graph(index, roots if anchor is None else (anchor, *roots))
        self.boot: Transaction | None = None
        if anchor is not None:
            self.boot = graph.transaction(self.graph, anchor, systemd=host.systemd)
        installed = frozenset(self.boot.jobs) if self.boot is not None else frozenset[str]()
        self.start = graph.transaction(self.graph, INCUS_UNIT, installed, systemd=host.systemd)
        self.incus = index.unit(INCUS_UNIT)
        self.satellite = index.unit(SATELLITE_UNIT)
        self.waits = self.graph.waits_for(INCUS_UNIT)

    def circles(self) -> tuple[cycles.Cycle, ...]:
        """Return the circles of a boot, and of Incus's start by its socket while the boot goes on."""
        of_boot = cycles.find(self.graph, self.boot) if self.boot is not None else ()
        known = {cycle.knot for cycle in of_boot}
        later = cycles.find(self.graph, self.start)
        return (*of_boot, *(cycle for cycle in later if cycle.knot not in known))

    def has_job(self, name: str) -> bool:
        """Return whether a boot starts ``name``; True when the boot's target is not known."""
        return self.boot is None or self.graph.name(name) in self.boot.jobs


def nothing_pulls(scene: Scene) -> bool:
    """Return whether after a power loss nothing may start Incus that should: neither a unit of the boot, nor its own check (U2 to U5).

    On a host on which nobody enabled Incus, nothing should.
    """
    pulled = scene.boot is not None and INCUS_UNIT in scene.boot.jobs
    enabled = any(map(scene.has_job, (INCUS_STARTUP, INCUS_SOCKET)))
    return enabled and not pulled and scene.host.incus.listens is not True


def find(host: HostView, index: Index) -> tuple[Finding, ...]:
    """Return what is wrong with the units in ``index``, worst first; nothing is said of drop-ins that are not in it."""
    scene = Scene(host, index)
    found = [
        *_circles(scene),
        *_jobs(scene),
        *_recipe(scene),
        *_satellite(scene),
        *_incus(scene),
        *_stop(scene),
        *_mounts(scene),
        *_needs(scene),
    ]
    return tuple(sorted(found, key=lambda finding: -finding.grade.badness))


def start_limit(unit: Unit) -> float:
    """Return the seconds a start of the service ``unit`` may take; infinite where systemd sets none."""
    once = unit.value("Service", "Type") == "oneshot"
    both = unit.last("Service", "TimeoutSec")
    setting = unit.last("Service", "TimeoutStartSec") or both
    if setting is None:
        return math.inf if once else _DEFAULT_LIMIT
    # Zero switches it off, as does what cannot be read (systemd then keeps its default; the longer one is the careful guess).
    return parse.seconds(setting.value) or math.inf


def gate_limit(unit: Unit) -> float:
    """Return the seconds for which the gate holds Incus at most, as its unit tells it; infinite when fail-closed."""
    told = dict(word.partition("=")[::2] for word, _ in unit.listed("Service", "Environment"))
    if told.get("TIDEGATE_GATE_POLICY") == FailPolicy.CLOSED:
        return math.inf
    return parse.seconds(told.get("TIDEGATE_GATE_LIMIT", "")) or DEFAULT_LIMIT


def _circles(scene: Scene) -> Iterator[Finding]:
    for cycle in scene.circles():
        yield codes.finding("units.cycle", ids.HOST, show.circle(cycle))


def _jobs(scene: Scene) -> Iterator[Finding]:
    for name, subject in ((INCUS_STARTUP, ids.INCUS), (INCUS_SOCKET, ids.INCUS)):
        unit = scene.index.unit(name)
        if unit.load is Load.BAD:
            yield codes.finding("units.bad", subject, f"{name}: {unit.complaint}", unit=name)
    if scene.start.failure:
        text = f"{INCUS_UNIT} cannot be started: {scene.start.failure}"
        yield codes.finding("units.cannot-start", ids.INCUS, text, unit=INCUS_UNIT)
    if scene.index.unit(INCUS_STARTUP).load is Load.MASKED:
        text = f"{INCUS_STARTUP} is masked"
        yield codes.finding("units.no-clean-stop", ids.INCUS, text, unit=INCUS_STARTUP)
    if not scene.has_job(SATELLITE_UNIT):
        yield _not_started(SATELLITE_UNIT, ids.SATELLITE)
    if not any(map(scene.has_job, (INCUS_UNIT, INCUS_STARTUP, INCUS_SOCKET))):
        yield _not_started(INCUS_STARTUP, ids.INCUS)
    if scene.boot is not None and "drbd.service" in scene.boot.jobs:
        yield codes.finding("units.drbd-service", ids.HOST, "drbd.service is started at boot")


def _not_started(name: str, subject: ids.Subject) -> Finding:
    return codes.finding(
        "units.not-started", subject, f"no unit of the boot wants {name}", unit=name
    )


def _recipe(scene: Scene) -> Iterator[Finding]:
    """The recipe that circulates: ``Type=notify``, ``Before=incus-lxcfs.service``, ``WantedBy=`` it (facts/incus.md I1, U11)."""
    for word, setting in scene.satellite.listed("Unit", "Before"):
        absent = scene.index.unit(word).load is Load.NOT_FOUND
        if absent and word.startswith(("incus", "lxcfs")):
            text = f"Before={word} in {setting.place}; there is no {word}"
            yield codes.finding("units.order-without-effect", ids.SATELLITE, text)
    for holder, path in scene.index.pulled_in_by(SATELLITE_UNIT):
        if scene.index.unit(holder).load is Load.NOT_FOUND:
            text = f"{path} has it started with {holder}, which is not there"
            yield codes.finding("units.order-without-effect", ids.SATELLITE, text)
    why = scene.graph.befores(SATELLITE_UNIT).get(INCUS_STARTUP)
    if why is not None and SATELLITE_UNIT not in scene.waits:
        text = f"{SATELLITE_UNIT} comes before {INCUS_STARTUP}, not before {INCUS_UNIT} ({why})"
        yield codes.finding("units.order-bypassed", ids.INCUS, text)
    if scene.satellite.value("Service", "Type") != "notify":
        return
    limit = start_limit(scene.satellite)
    if not math.isinf(limit):
        place = _place(scene.satellite, "Service", "Type")
        text = f"{SATELLITE_UNIT} is Type=notify ({place}) with a start time-out of {limit:.0f} s"
        yield codes.finding("units.satellite-start-timeout", ids.SATELLITE, text)
    elif SATELLITE_UNIT in scene.waits:
        text = (
            f"{INCUS_UNIT} is ordered after {SATELLITE_UNIT}, Type=notify without a start time-out"
        )
        yield codes.finding("units.waits-for-ever", ids.INCUS, text)


def _place(unit: Unit, section: str, key: str) -> str:
    setting = unit.last(section, key)
    return "default" if setting is None else setting.place


def _satellite(scene: Scene) -> Iterator[Finding]:
    restart = scene.satellite.value("Service", "Restart", "no")
    if restart in {"no", "on-success"}:
        place = _place(scene.satellite, "Service", "Restart")
        text = f"{SATELLITE_UNIT} has Restart={restart} ({place})"
        ours = any(map(render.is_ours, scene.satellite.drop_ins))
        instead = f"remove it there: {place} counts after what Tidegate writes" if ours else ""
        yield codes.finding("units.satellite-not-restarted", ids.SATELLITE, text, instead=instead)
    path = program(scene.satellite)
    if path != DRIVER_WANTS:
        text = f"{SATELLITE_UNIT} runs {path}"
        yield codes.finding("units.driver-path", ids.HOST, text, path=path)


def _incus(scene: Scene) -> Iterator[Finding]:
    strong = {Kind.REQUIRES, Kind.BINDS_TO, Kind.REQUISITE}
    for need in scene.graph.needed(INCUS_UNIT):
        if (
            need.kind in strong
            and need.other.endswith(".service")
            and need.other not in _STOCK_HOLDS
        ):
            text = f"{INCUS_UNIT} has {need.why}: {need.kind}={need.other}"
            yield codes.finding("units.required-hold", ids.INCUS, text)
    startup = scene.index.unit(INCUS_STARTUP)
    allowed = start_limit(startup) if startup.load is Load.LOADED else math.inf
    # An incus.service that the boot starts is waited for before incus-startup.service begins: then nothing counts against it.
    pulled = scene.boot is not None and INCUS_UNIT in scene.boot.jobs
    for name in sorted(scene.graph.afters(INCUS_UNIT)):
        limit = _hold(scene.index.unit(name))
        if limit + _SETUP > allowed and not pulled:
            shown = "without a limit" if math.isinf(limit) else f"for up to {limit:.0f} s"
            text = f"{name} may hold {INCUS_UNIT} {shown}; {INCUS_STARTUP} may take {allowed:.0f} s"
            yield codes.finding("units.startup-too-short", ids.INCUS, text)
    if nothing_pulls(scene):
        text = (
            "core.https_address is not set"
            if scene.host.incus.listens is False
            else ("it is not known whether core.https_address is set")
        )
        yield codes.finding("units.incus-not-pulled", ids.INCUS, text)
    for key in scene.host.incus.volumes_on_linstor:
        text = f"{key} names a volume on a LINSTOR pool"
        yield codes.finding("units.fatal-volumes", ids.INCUS, text, key=key)


def _hold(unit: Unit) -> float:
    """Return the seconds by which a service may hold what comes after it, 0 for those that do not wait for anything."""
    if unit.kind != "service" or unit.load is not Load.LOADED or unit.name in _STOCK_HOLDS:
        return 0.0
    if unit.name == READY_UNIT:
        return gate_limit(unit)
    waits = unit.value("Service", "Type") in {"oneshot", "notify", "notify-reload"}
    return start_limit(unit) if waits else 0.0


def _stop(scene: Scene) -> Iterator[Finding]:
    if SATELLITE_UNIT not in scene.waits:
        text = f"nothing orders {INCUS_UNIT} after {SATELLITE_UNIT}"
        instead = _without_stop_order(scene.satellite)
        yield codes.finding("units.stop-order-missing", ids.INCUS, text, instead=instead)
    setting = scene.incus.last("Service", "TimeoutStopSec")
    limit = parse.seconds(setting.value) if setting is not None else _DEFAULT_LIMIT
    if limit is not None and 0 < limit < _STOP:
        text = f"{INCUS_UNIT} has TimeoutStopSec={limit:.0f}s"
        yield codes.finding("units.stop-too-short", ids.INCUS, text)


def _without_stop_order(satellite: Unit) -> str:
    """Return what can be done where that order would make Incus wait for a controller; "" where it would not."""
    setting = satellite.last("Service", "Type")
    if setting is None or setting.value != "notify":
        return ""
    if render.is_ours(setting.path):
        return "the strategy gate has this order as well"
    return f"remove Type=notify ({setting.place}): with it the order would make Incus wait for a controller for ever"


def _mounts(scene: Scene) -> Iterator[Finding]:
    required = {word for word, _ in scene.satellite.listed("Unit", "RequiresMountsFor")}
    for pool in scene.host.storage_pools or ():
        found = [(place, _mount_above(scene, place)) for place in pool.places]
        subject = ids.storage_pool(ids.StoragePoolName(pool.name))
        for place, mount in found:
            covered = any(place.rstrip("/") in names.above(word) for word in required)
            if mount and not covered:
                text = f"{place} lies on {mount}; {SATELLITE_UNIT} does not require it"
                yield codes.finding("units.bare-mount-point", subject, text)
        if found and not any(mount for _, mount in found):
            text = f"{found[-1][0]} lies on no mount unit"
            yield codes.finding("units.mount-unknown", subject, text)


def _mount_above(scene: Scene, place: str) -> str:
    """Return the mount unit that ``place`` lies on, the nearest; "" when there is none but the root's."""
    above = (names.from_path(path, "mount") for path in names.above(place)[:-1])
    return next((name for name in above if scene.index.unit(name).load is Load.LOADED), "")


def _needs(scene: Scene) -> Iterator[Finding]:
    controller = scene.host.controller
    if controller.place is deadlock.Place.UNKNOWN:
        text = controller.because or "nobody said where the LINSTOR controller runs"
        yield codes.finding("units.controller-unknown", ids.CONTROLLER, text)
    hold, limit = held(scene)
    for loop in deadlock.loops(controller, hold, limit=limit):
        remedy = deadlock.way_out(controller, loop)
        if hold is Hold.SATELLITE and loop.holds_incus:
            remedy = f"{_without_recipe(scene)}; then {remedy}"
        grade = None if loop.is_deadlock and not loop.only else Grade.DEGRADED
        yield codes.finding("units.deadlock", ids.CONTROLLER, str(loop), grade=grade, remedy=remedy)


def held(scene: Scene) -> tuple[Hold, float]:
    """Return what holds Incus as the units are, and for how many seconds at most."""
    if READY_UNIT in scene.waits:
        return Hold.GATE, gate_limit(scene.index.unit(READY_UNIT))
    if SATELLITE_UNIT in scene.waits and scene.satellite.value("Service", "Type") == "notify":
        return Hold.SATELLITE, start_limit(scene.satellite)
    return Hold.NOTHING, math.inf


def deadlocked(scene: Scene) -> tuple[deadlock.Loop, str] | None:
    """Return the deadlock that the circulating recipe makes here, whatever else holds Incus, and what to remove; None without one."""
    notify = scene.satellite.value("Service", "Type") == "notify"
    if SATELLITE_UNIT not in scene.waits or not notify:
        return None
    limit = start_limit(scene.satellite)
    loop = deadlock.held_by_itself(scene.host.controller, Hold.SATELLITE, limit=limit)
    if loop is None or not loop.is_deadlock or loop.only:
        return None
    return loop, _without_recipe(scene)


def _without_recipe(scene: Scene) -> str:
    place = _place(scene.satellite, "Service", "Type")
    orders = [
        why
        for then, why in scene.graph.befores(SATELLITE_UNIT).items()
        if then == INCUS_UNIT or then in scene.waits
    ]
    told = f" ({'; '.join(orders)})" if orders else ""
    return f"remove Type=notify ({place}), or the order by which Incus waits for it{told}"
