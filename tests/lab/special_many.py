# SPDX-License-Identifier: Apache-2.0
"""Forty real containers on forty volumes: Incus's order is kept, ever more are started at once, and it is quicker than one after another."""

import sqlite3

from tests.lab import seed, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "40 containers: order, how many at once, and the time against the bare minimum"
COUNT = 40
RANKS = {"c2": 9, "c11": 5, "c3": 1}
"""Priorities: these go after all that have none, one after another (facts/incus.md A4, A5)."""
OFFLINE_END = 12.0
PATIENCE = 120.0


def tell(tale: tales.Tale) -> None:
    """One machine: made, booted without its storage, and started by hand for comparison."""
    with tale.scene(Variant.AGENT) as scene:
        scene.healthy()
        names = _launch(scene)
        scene.names = (*names, *seed.LOCAL)
        variants.await_map(scene.each, names=names)
        scene.poweroff()
        scene.boot([tales.fault(FaultKind.NODE_OFFLINE, OFFLINE_END, seed.NODE)])
        tale.expect_all_run(scene, OFFLINE_END + PATIENCE, f"{COUNT} containers")
        took = max(scene.ran(name) or 0.0 for name in names) - OFFLINE_END
        widest = _widest(scene)
        bare = scene.bare(names)
        tale.say(
            f"{COUNT} containers ran {took:.2f} s after the fault's end, at most {widest} starts at once; "
            f"one after another by hand they take {bare:.2f} s"
        )
        tale.expect(widest > 4, "more at once than it begins with", widest)
        tale.expect(took <= bare + 0.5, "at most 0.5 s over the bare start time", took - bare)
        _order(tale, scene, names)


def _launch(scene: tales.Scene) -> tuple[str, ...]:
    """Make the rest of the forty, and give three of all a priority."""
    names = tuple(f"c{number}" for number in range(1, COUNT + 1))
    for name in names:
        if name not in seed.REMOTE:
            words = ("launch", "tiny", name, "-s", "remote", "-c", "boot.autostart=true")
            scene.each.exec(["incus", *words], timeout=90)
    for name, rank in RANKS.items():
        scene.each.exec(["incus", "config", "set", name, f"boot.autostart.priority={rank}"])
    return names


def _widest(scene: tales.Scene) -> int:
    """How many starts of the agent were on their way at once, by its own history of the last boot."""
    path = scene.bench.directory / "state" / "tidegate" / "history.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as history:
        spans = history.execute(
            "SELECT started, ended FROM action WHERE action = 'start-instance' AND outcome = 'done' "
            "AND boot_id = (SELECT boot_id FROM boot ORDER BY began DESC LIMIT 1)"
        ).fetchall()
    return max((sum(a <= began < b for a, b in spans) for began, _ in spans), default=0)


def _order(tale: tales.Tale, scene: tales.Scene, names: tuple[str, ...]) -> None:
    ran = {name: scene.ran(name) or 0.0 for name in names}
    ranked = sorted(RANKS, key=lambda name: -RANKS[name])
    moments = [ran[name] for name in ranked]
    tale.expect(moments == sorted(moments), "those with a priority start by it", moments)
    plain = sorted(moment for name, moment in ran.items() if name not in RANKS)
    tale.expect(moments[0] > plain[0], "and after those without one have begun", plain[0])
