# SPDX-License-Identifier: Apache-2.0
"""Power loss with an Incus dump that is stale or missing: its own check then starts nothing (U2 to U5), ours starts all.

With a strategy that holds Incus the boot itself starts it; without one the agent does, after giving others a minute for it. Without
the agent it is as on a stock machine.
"""

from tests.lab import seed, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

SAYS = "power loss, Incus's dump of its database stale, then missing"
WITHIN = 12.0
BY_THE_AGENT = 72.0
_DUMP = "incus/database/global/db.bin"


def tell(tale: tales.Tale) -> None:
    """The same twice on each kind of machine."""
    for variant in (Variant.STOCK, Variant.AGENT, Variant.GATE_AGENT):
        with tale.scene(variant) as scene:
            _enable_late(scene, variant)
            scene.crash()
            _judge(tale, scene, variant, "a stale dump")
            scene.crash()
            (scene.bench.directory / "state" / _DUMP).unlink()
            _judge(tale, scene, variant, "no dump")


def _enable_late(scene: tales.Scene, variant: Variant) -> None:
    """Every instance is made to start by itself after the last dump, which is written as at a clean stop."""
    scene.healthy()
    for name in seed.INSTANCES:
        scene.each.exec(["incus", "stop", "--force", name])
        scene.each.exec(["incus", "config", "set", name, "boot.autostart=false"])
    scene.each.exec(["incus", "admin", "sql", "global", ".sync"])
    for name in seed.INSTANCES:
        scene.each.exec(["incus", "config", "set", name, "boot.autostart=true"])
        scene.each.exec(["incus", "start", name])
    if variant.agent:
        variants.await_map(scene.each)


def _judge(tale: tales.Tale, scene: tales.Scene, variant: Variant, what: str) -> None:
    scene.boot()
    where = f"{variant} with {what}"
    if variant is Variant.STOCK:
        scene.watch(WITHIN)
        state = scene.unit("incus.service")
        none = not any(scene.seen.starts.values())
        tale.expect(none and state == "inactive", f"{where}: nothing starts, as known", state)
        return
    tale.expect_all_run(scene, WITHIN if variant.holds else BY_THE_AGENT, where)
