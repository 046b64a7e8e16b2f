# SPDX-License-Identifier: Apache-2.0
"""Weaknesses built into simulated boots: the agent's own count of moments, then advice, the change, boots after it, and the result.

Boots run on the virtual clock with the product's judge, recovery and tally; what they take is what the models say, with a fifth of chance.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from tests import weak_hosts
from tests.weak_hosts import WEAK, Weak

from tidegate.agent import starts, tuneview
from tidegate.clients.incus import wire
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.metrics.tally import Tally
from tidegate.recovery import step as recovery
from tidegate.recovery.state import RecoveryState
from tidegate.sim.faults import TYPICAL, Fault, FaultKind, Layout
from tidegate.sim.incus.journal import LogLine
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.run import Simulation, kept_map
from tidegate.sim.schedule import Schedule, layout, server
from tidegate.tuning import drbd, host, jvm, result
from tidegate.tuning.advice import When
from tidegate.tuning.facts import (
    Archive,
    Boot,
    Database,
    HostFacts,
    Java,
    Medium,
    Service,
    Shutdown,
    Timing,
    UnitTime,
)
from tidegate.tuning.incus import Autostart
from tidegate.tuning.result import Applied, Verdict

UNIT = "linstor-satellite.service"
NAMES = tuple(f"c{number}" for number in range(4))
BOOTS = 5
APPLIED_AT = 1000.0
WELL = msgspec.structs.replace(
    TYPICAL,
    satellite=0.4,
    per_device=0.02,
    first_device=0.02,
    attach=0.02,
    connect=0.02,
    resync=0.02,
    run_end=0.02,
)
"""A quick node; what waking cannot shorten of the controller's rounds is as on any."""


CONTROLLER = "linstor-controller.service"
_SLEEPS = re.compile(r"sleep ([0-9.]+)")


def boot(seed: int, began: float, simulated: Mapping[str, Any], weak: Weak) -> Boot:
    """One boot on the virtual clock, with the phases that the agent would have recorded."""
    said = dict(simulated)
    options = weak.autostart if said.pop("options", False) else {}
    wakes = said.pop("wakes", True)
    faults = [
        Fault(kind=kind, end=said.pop(key))
        for key, kind in (
            ("controller_at", FaultKind.CONTROLLER_REFUSES),
            ("module_at", FaultKind.MODULE_LATE),
        )
        if key in said
    ]
    early, crashed = said.pop("devices_first", False), said.pop("crashed", False)
    start = said.pop("start", 0.25)
    instances = tuple(
        InstanceSpec(name=name, config={"boot.autostart": "true", **options.get(name, {})})
        for name in NAMES
    )
    schedule = Schedule(
        name="tuned",
        layout=_layout(crashed=crashed),
        server=server(instances, cpus=weak.cpus or 2),
        faults=tuple(faults),
        timings=msgspec.structs.replace(WELL, **said),
        seed=seed,
        devices_first=early,
    )
    tally = Tally(satellite_unit=UNIT, born=1.0)
    run = Simulation(schedule, with_tidegate=True, kept=kept_map(schedule), planner=counted(tally))
    run.policy = msgspec.structs.replace(run.policy, wake_controller=wakes)
    incus = run.incus.world
    incus.timings = msgspec.structs.replace(incus.timings, instance_start=start)
    incus.journal.listen(lambda line: told(tally, line))
    assert run.run().violations == ()
    return Boot(
        began=began, phases=tuneview.phases({one.value: at for one, at in tally.moments.items()})
    )


def told(tally: Tally, line: LogLine) -> None:
    """What the agent hears of Incus's log."""
    said = wire.Logging(message=line.msg, level=str(line.level), context=line.context)
    if (found := starts.read(said, line.at)) is not None:
        tally.told(found)


def _layout(*, crashed: bool) -> Layout:
    """Four volumes; ``crashed``: each was in use here when the host went down."""
    plain = layout(NAMES)
    told = (msgspec.structs.replace(one, crashed=crashed) for one in plain.resources)
    return msgspec.structs.replace(plain, resources=tuple(told))


def counted(tally: Tally) -> Callable[..., recovery.Step]:
    """The product's own planner, with the agent's count beside it as in the loop."""

    def planner(
        state: RecoveryState, event: recovery.Event, snapshot: Snapshot, report: Report, policy: Any
    ) -> recovery.Step:
        tally.saw(snapshot, report)
        return recovery.step(state, event, snapshot, report, policy)

    return planner


def boots(
    began: float, simulated: Mapping[str, Any] | None = None, weak: Weak | None = None
) -> tuple[Boot, ...]:
    said, known = simulated or {}, weak or Weak()
    return tuple(boot(seed, began + seed, said, known) for seed in range(BOOTS))


def node(found: tuple[Boot, ...], weak: Weak | None = None) -> HostFacts:
    """What is known of the node besides its boots, as a look at a host with this weakness finds it."""
    known = weak or Weak()
    options = {f"default/{name}": known.autostart.get(name, {}) for name in NAMES}
    quick = weak_hosts.QUICK in known.files.values()
    told = weak_hosts.drbd_answers(NAMES, known.drbd, "10.99.0.11", "10.99.0.12")
    described = drbd.describe(*(json.dumps(one).encode() for one in told))
    return HostFacts(
        at=APPLIED_AT,
        boots=found,
        cpus=known.cpus or 2,
        java=Java(program="java", version="17", accepts=frozenset(jvm.TRIED)),
        satellite=Service(unit=UNIT, options=" ".join(jvm.QUICK) if quick else ""),
        controller=Service(unit=CONTROLLER) if known.controller else None,
        archive=Archive(folder="/a"),
        times={CONTROLLER: UnitTime(unit=CONTROLLER, began=0.5, active=known.controller)},
        resources=len(NAMES),
        orphans=(),
        timings=timed(known),
        scanned={"zvol": len(known.files)},
        groups=1,
        multipath="multipath" in known.programs,
        udev_devices=len(NAMES) + known.drbd.strangers,
        module_listed="/usr/lib/modules-load.d/drbd.conf" not in known.files,
        volumes=described.volumes,
        resync_rate=described.rate,
        media={"sda": Medium(name="sda", rotational=bool(known.sparse))},
        database=next((_database(size) for size in known.sparse.values()), None),
        shutdown=Shutdown(took=2.5, forced=("a.service",) if known.stubborn else ()),
        agent=True,
        wakes=not known.settings,
        autostart=tuple(
            Autostart(
                name=name,
                delay=float(said["boot.autostart.delay"])
                if "boot.autostart.delay" in said
                else None,
                priority=1 if "boot.autostart.priority" in said else None,
            )
            for name, said in options.items()
        ),
    )


def _database(size: int) -> Database:
    return Database(path=weak_hosts.DATABASE, size=size, media=("sda",))


def timed(weak: Weak) -> dict[str, Timing]:
    """What the stand-ins of the table would have taken: with what makes them slow, and without."""
    found = {}
    for slow, quick, program in (
        ("pvdisplay", "pvdisplay-filtered", "pvdisplay"),
        ("zfs-list", "zfs-list-volumes", "zfs"),
        ("multipath", "sh-udev", "multipath"),
    ):
        match = _SLEEPS.search(weak.programs.get(program, ""))
        for name, seconds in ((slow, float(match[1]) if match else 0.0), (quick, 0.0)):
            found[name] = Timing(command=name, seconds=(seconds,), at=APPLIED_AT)
    return found


HERE = {name: weak for name, weak in WEAK.items() if weak.simulated is not None}


def test_no_advice_for_a_node_whose_boots_are_quick() -> None:
    found = boots(0.0)
    assert [one.id for one in host.advise(node(found))] == []
    rows = {row.what: row.cost for row in host.looked(node(found))}
    assert "until the last instance runs" in rows


@pytest.mark.parametrize("name", HERE)
def test_the_weakness_is_the_first_advice_and_boots_after_the_change_show_the_gain(
    name: str,
) -> None:
    weak = HERE[name]
    assert weak.simulated is not None
    before = boots(0.0, weak.simulated.before, weak)
    advised = host.advise(node(before, weak))
    assert advised[0].id == name, [(one.id, one.gain) for one in advised]
    after = boots(APPLIED_AT + 1, weak.simulated.after, weak)
    promised = advised[0]
    applied = Applied(id=name, measure=promised.measure, at=APPLIED_AT, expected=promised.gain)
    found = result.compare(applied, (*before, *after), (applied,))
    assert found.verdict is Verdict.FASTER, found
    if promised.when is When.ALWAYS:
        assert found.gain > promised.gain / 3, "the promise was of the right size"
    whole = result.compare(applied, (*before, *after), (applied,), phase=result.WHOLE)
    meanwhile = promised.when is When.CRASH  # instances run while DRBD copies
    assert whole.verdict is (Verdict.NO_DIFFERENCE if meanwhile else Verdict.FASTER), whole
