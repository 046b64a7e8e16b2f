# SPDX-License-Identifier: Apache-2.0
"""Weaknesses built into simulated boots: the agent's own count of moments, then advice, the change, boots after it, and the result.

Boots run on the virtual clock with the product's judge, recovery and tally; what they take is what the models say, with a fifth of chance.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tidegate.agent import tuneview
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.metrics.tally import Tally
from tidegate.recovery import step as recovery
from tidegate.recovery.state import RecoveryState
from tidegate.sim.faults import TYPICAL
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.run import Simulation, kept_map
from tidegate.sim.schedule import Schedule, layout, server
from tidegate.tuning import host, jvm, result
from tidegate.tuning.facts import Boot, HostFacts, Java, Service
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
QUICK_FLAGS = " ".join(jvm.QUICK)


class Weakness(msgspec.Struct, frozen=True, kw_only=True):
    """How a boot is before the change and after it, and what is known of the host besides its boots."""

    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    facts: dict[str, Any] = {}


def boot(
    seed: int, began: float, *, wakes: bool = True, delays: bool = False, **changes: Any
) -> Boot:
    """One boot on the virtual clock, with the phases that the agent would have recorded."""
    own = {key: changes.pop(key) for key in ("devices_first",) if key in changes}
    config = {"boot.autostart": "true", **({"boot.autostart.delay": "6"} if delays else {})}
    schedule = Schedule(
        name="tuned",
        layout=layout(NAMES),
        server=server(tuple(InstanceSpec(name=name, config=config) for name in NAMES)),
        timings=msgspec.structs.replace(WELL, **changes),
        seed=seed,
        **own,
    )
    tally = Tally(satellite_unit=UNIT, born=1.0)
    run = Simulation(schedule, with_tidegate=True, kept=kept_map(schedule), planner=counted(tally))
    run.policy = msgspec.structs.replace(run.policy, wake_controller=wakes)
    assert run.run().violations == ()
    return Boot(
        began=began, phases=tuneview.phases({one.value: at for one, at in tally.moments.items()})
    )


def counted(tally: Tally) -> Callable[..., recovery.Step]:
    """The product's own planner, with the agent's count beside it as in the loop."""

    def planner(
        state: RecoveryState, event: recovery.Event, snapshot: Snapshot, report: Report, policy: Any
    ) -> recovery.Step:
        tally.saw(snapshot, report)
        return recovery.step(state, event, snapshot, report, policy)

    return planner


def boots(began: float, **changes: Any) -> tuple[Boot, ...]:
    return tuple(boot(seed, began + seed, **changes) for seed in range(BOOTS))


def node(found: tuple[Boot, ...], **changes: Any) -> HostFacts:
    known = HostFacts(
        at=APPLIED_AT,
        boots=found,
        cpus=2,
        java=Java(program="java", version="17", accepts=frozenset(jvm.TRIED)),
        satellite=Service(unit=UNIT),
        resources=len(NAMES),
        orphans=(),
        module_listed=True,
        agent=True,
        autostart=tuple(Autostart(name=f"default/{name}") for name in NAMES),
    )
    return msgspec.structs.replace(known, **changes)


WEAK = {
    "jvm-flags": Weakness(before={"satellite": 9.0}, after={"satellite": 4.1}),
    "devices-first": Weakness(
        before={"satellite": 2.0, "per_device": 3.0},
        after={"satellite": 2.0, "per_device": 3.0, "devices_first": True},
    ),
    "wake-controller": Weakness(before={"wakes": False}, facts={"wakes": False}),
    "autostart-delay": Weakness(
        before={"delays": True},
        facts={"autostart": tuple(Autostart(name=f"default/{name}", delay=6.0) for name in NAMES)},
    ),
}


def test_no_advice_for_a_node_whose_boots_are_quick() -> None:
    found = boots(0.0)
    assert [one.id for one in host.advise(node(found))] == []
    rows = {row.what: row.cost for row in host.looked(node(found))}
    assert "until the last instance runs" in rows


@pytest.mark.parametrize("name", WEAK)
def test_the_weakness_is_the_first_advice_and_boots_after_the_change_show_the_gain(
    name: str,
) -> None:
    weak = WEAK[name]
    before = boots(0.0, **weak.before)
    advised = host.advise(node(before, **weak.facts))
    assert advised[0].id == name, [(one.id, one.gain) for one in advised]
    after = boots(APPLIED_AT + 1, **weak.after)
    applied = Applied(id=name, measure=advised[0].measure, at=APPLIED_AT, expected=advised[0].gain)
    found = result.compare(applied, (*before, *after), (applied,))
    assert found.verdict is Verdict.FASTER, found
    assert found.gain > advised[0].gain / 3, "the promise was of the right size"
    whole = result.compare(applied, (*before, *after), (applied,), phase=result.WHOLE)
    assert whole.verdict is Verdict.FASTER, whole
