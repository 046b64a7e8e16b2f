# SPDX-License-Identifier: Apache-2.0
"""One fault after another in the same boot: what the table of single faults does not show (issue of recovery, "It must show" 2).

Each machine measures its own bare start time at the end (contract.md, words), and is held to it: nothing runs later than that and half
a second after everything was well.
"""

from collections.abc import Sequence

from tests.lab import promises, seed
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import Fault, FaultKind

SAYS = "faults one after another: offline then devices late, controller restarts, power lost again, the other node away"
OVER_BARE = 0.5
"""Seconds over the bare start time, from the later of the last fault's end and the end of Incus's first pass."""
OFFLINE_END, DEVICES_END = 7.0, 14.0
AWAY_AGAIN = 0.25
"""Seconds for which the controller is there before it restarts: recovery has just begun."""
RESTARTED = 14.0
LOST_BY = 20.0
PEER_END = 16.0
PEER_WAIT = 30.0
"""Seconds that a volume waits for a peer whose node is OFFLINE (contract.md safety 1)."""
_VARIANTS = (Variant.AGENT, Variant.GUARD_AGENT)


def tell(tale: tales.Tale) -> None:
    """Each chain on the agent alone, and with the guard before it."""
    for variant in _VARIANTS:
        _offline_then_devices(tale, variant)
        _controller_restarts(tale, variant)
        _power_lost_again(tale, variant)
        _peer_away(tale, variant)
        _peer_dead(tale, variant)


def _offline(end: float) -> Fault:
    return tales.fault(FaultKind.NODE_OFFLINE, end, seed.NODE)


def _offline_then_devices(tale: tales.Tale, variant: Variant) -> None:
    with tale.scene(variant, "devices") as scene:
        scene.boot([_offline(OFFLINE_END), tales.fault(FaultKind.DEVICE_MISSING, DEVICES_END)])
        _judge(tale, scene, DEVICES_END, f"{variant}: offline, then devices late")


def _controller_restarts(tale: tales.Tale, variant: Variant) -> None:
    """It is away, comes, and is restarted as soon as recovery has begun: it forgets every device path (facts/early-observed.md)."""
    with tale.scene(variant, "controller") as scene:
        first = tales.fault(FaultKind.CONTROLLER_REFUSES, OFFLINE_END)
        again = Fault(
            kind=FaultKind.CONTROLLER_REFUSES,
            start=OFFLINE_END + AWAY_AGAIN,
            end=RESTARTED,
            restarts=True,
        )
        scene.boot([first, again])
        _judge(tale, scene, RESTARTED, f"{variant}: the controller restarts during recovery")


def _power_lost_again(tale: tales.Tale, variant: Variant) -> None:
    with tale.scene(variant, "power") as scene:
        scene.boot([_offline(OFFLINE_END)])
        begun = scene.watch(LOST_BY, lambda: any(map(scene.seen.running, seed.REMOTE)))
        tale.expect(begun, f"{variant}: recovery had begun when the power was lost")
        scene.crash()
        scene.boot([_offline(OFFLINE_END)])
        _judge(tale, scene, OFFLINE_END, f"{variant}: after power was lost during recovery")


def _peer_away(tale: tales.Tale, variant: Variant) -> None:
    """The other node lives, and DRBD does not reach it: nothing may be used before it does, however long Incus was ready."""
    with tale.scene(variant, "peer") as scene:
        away = Fault(kind=FaultKind.PEER_AWAY, subject="n2", end=PEER_END, alive=True)
        scene.boot([_offline(OFFLINE_END), away])
        where = f"{variant}: the other node lives and is not connected"
        _judge(tale, scene, PEER_END, where)
        _nothing_before(tale, scene, PEER_END, where)


def _peer_dead(tale: tales.Tale, variant: Variant) -> None:
    """The other node is gone for good: its volumes are used after the wait for it, and no sooner."""
    with tale.scene(variant, "alone") as scene:
        scene.boot([_offline(OFFLINE_END), tales.fault(FaultKind.PEER_AWAY, None, "n2")])
        where = f"{variant}: the other node is gone"
        ready = OFFLINE_END + PEER_WAIT
        _judge(tale, scene, ready, where)
        _nothing_before(tale, scene, ready - promises.AFTER, where)


def _nothing_before(tale: tales.Tale, scene: tales.Scene, moment: float, where: str) -> None:
    first = min(scene.ran(name) or 0.0 for name in seed.REMOTE)
    tale.expect(first >= moment, f"{where}: nothing on it starts before {moment:.1f}", first)


def _judge(tale: tales.Tale, scene: tales.Scene, over: float, where: str) -> None:
    """All run once, soon after ``over``; then the same instances are started by hand, for comparison."""
    tale.expect_all_run(scene, over + 20, where)
    if not scene.seen.all_run:
        return
    first_pass = scene.seen.ask_first_pass() or 0.0
    begin = max(over, first_pass)
    last = max(scene.ran(name) or 0.0 for name in scene.names)
    # All may run before that; what is stopped and started by hand needs the controller, too.
    scene.watch(over)
    bare = scene.bare(seed.REMOTE)
    tale.say(_row(over, first_pass, [scene.ran(name) for name in scene.names], last - begin, bare))
    late = last - begin - bare
    tale.expect(
        late <= OVER_BARE, f"{where}: at most {OVER_BARE} s over the bare start time", f"{late:.2f}"
    )


def _row(
    over: float, first_pass: float, ran: Sequence[float | None], after: float, bare: float
) -> str:
    starts = " ".join(f"{moment or 0.0:.2f}" for moment in ran)
    return (
        f"fault's end {over:.1f}, first pass {first_pass:.1f}, {' '.join(seed.INSTANCES)} ran at {starts}; "
        f"last after {after:+.2f}, bare {bare:.2f}"
    )
