# SPDX-License-Identifier: Apache-2.0
"""The only controller lives in a container of this very Incus: what holds Incus for the storage holds the storage.

The simulator's controller answers only while container ``ctl`` (on the local pool) runs. The recipe deadlocks; with a start time-out it
loses the satellite. ``units plan`` refuses to hold Incus, names the loop and offers what works, and that boots.
"""

from tests.lab import golden, promises, seed, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

SAYS = "the controller in a container of this Incus: the recipe deadlocks, plan refuses and offers what boots"
CONTROLLER = "ctl"
DEADLOCKED = 30.0
LIMIT = 15.0
_SET_UP: tuple[tuple[str, ...], ...] = (
    ("launch", golden.IMAGE_ALIAS, CONTROLLER, "-s", "local", "-c", "boot.autostart=true"),
    ("config", "set", f"storage.linstor.controller_connection=http://{CONTROLLER}:3370"),
)
_MASK = f"{variants.SYSTEM}/{variants.AGENT_UNIT}"


def tell(tale: tales.Tale) -> None:
    """One machine, booted in each way."""
    ties = (tales.controller_in(CONTROLLER), tales.SATELLITE_TIE)
    with tale.scene(Variant.AGENT) as scene:
        scene.each.controller_names = ("linstor-controller", CONTROLLER)
        scene.healthy()
        for words in _SET_UP:
            scene.each.exec(["incus", *words], timeout=60)
        scene.names = (*seed.INSTANCES, CONTROLLER)
        variants.await_map(scene.each, names=(*scene.names, f"{CONTROLLER}:3370"))
        _plans(tale, scene)
        scene.poweroff()
        _recipe(tale, scene, ties)
        scene.boot(ties=ties)
        tale.expect_all_run(scene, 30, "with the agent alone")
        said = scene.tidegate("units", "apply")
        tale.say(f"units apply: {said.strip()}")
        scene.tidegate("units", "verify")
        scene.poweroff()
        scene.boot(ties=ties)
        tale.expect_all_run(scene, 30, "with what plan offers")
        late = max(scene.ran(name) or 0.0 for name in scene.names) - (scene.ran(CONTROLLER) or 0.0)
        tale.say(f"the last container ran {late:.1f} s after the controller's")
        tale.expect(
            late < promises.AFTER + promises.HELD, "all run soon after the controller", late
        )


def _plans(tale: tales.Tale, scene: tales.Scene) -> None:
    for strategy in ("gate", "order"):
        said = scene.tidegate("units", "plan", "--strategy", strategy, check=False)
        tale.expect("deadlock" in said, f"plan refuses {strategy}", said)
        names = "waits for" in said and "the LINSTOR controller" in said and CONTROLLER in said
        tale.expect(names, f"plan names the loop of {strategy}", said)
        tale.expect("guard" in said, f"plan offers what works in place of {strategy}", said)
    said = scene.tidegate("units", "plan", check=False)
    tale.expect("guard" in said, "left the choice, plan takes what works", said)


def _recipe(tale: tales.Tale, scene: tales.Scene, ties: tuple[tales.Tie, ...]) -> None:
    """Without any of ours: without a time-out a deadlock, with one the satellite is lost."""
    scene.each.link(_MASK, "/dev/null")
    scene.each.write(tales.NAIVE, tales.naive("infinity"))
    scene.boot(ties=ties)
    scene.watch(DEADLOCKED)
    ran = [name for name in scene.names if scene.seen.starts[name]]
    tale.expect(not ran, f"the recipe without a time-out: nothing runs after {DEADLOCKED:.0f}", ran)
    said = scene.tidegate("units", "plan", check=False)
    names = "refused" in said and "waits for" in said and f"/{CONTROLLER}" in said
    tale.expect(names, "plan, asked while this boot hangs, refuses and names the loop", said)
    tale.expect(tales.NAIVE in said, "and the file that has to go", said)
    scene.crash()
    scene.each.write(tales.NAIVE, tales.naive(f"{LIMIT:.0f}s"))
    scene.boot(ties=ties)
    scene.watch(LIMIT + 10)
    state = scene.unit(tales.SATELLITE)
    ran = [name for name in seed.REMOTE if scene.seen.starts[name]]
    tale.expect(state == "failed" and not ran, "the recipe with one: the satellite is lost", state)
    said = scene.tidegate("units", "check", check=False)
    tale.expect(
        "started-after-failure" in said, "units check says why that order was in vain", said
    )
    scene.crash()
    scene.each.written(_MASK).unlink()
    scene.each.written(tales.NAIVE).unlink()
