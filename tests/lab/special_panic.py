# SPDX-License-Identifier: Apache-2.0
"""Incus's own loop dies on a container with a character device, a minute after a boot without storage (facts/incus.md D-RETRY-PANIC).

It does so on a stock machine. With us the pool is back, and its instances run, before the loop's minute: it then finds nothing to start
and lives. Told besides: a boot in which that container's own volume is later than the minute; there incusd lived, too (seen once).
"""

from tests.lab import seed
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "a container with a unix-char device: incusd's own retry loop dies on a stock machine, with us nobody meets it"
OFFLINE_END = 8.0
TICK = 66.0
"""Second by which Incus's loop has come round once."""
BACK = 40.0
"""Seconds after it by which a stock machine has everything back."""
VOLUME_END = 72.0
_DEVICE = ("unix-char", "source=/dev/null", "path=/dev/lab-null")


def tell(tale: tales.Tale) -> None:
    """The same machine as stock, with the agent, and with the guard besides."""
    for variant in (Variant.STOCK, Variant.AGENT, Variant.GUARD_AGENT):
        with tale.scene(variant) as scene:
            _add_device(scene)
            scene.boot([tales.fault(FaultKind.NODE_OFFLINE, OFFLINE_END, seed.NODE)])
            if variant is Variant.STOCK:
                _stock(tale, scene)
            else:
                _ours(tale, scene, variant)
    with tale.scene(Variant.AGENT, "late") as scene:
        _add_device(scene)
        late = tales.fault(FaultKind.DEVICE_MISSING, VOLUME_END, scene.resource("c1"))
        scene.boot([tales.fault(FaultKind.NODE_OFFLINE, OFFLINE_END, seed.NODE), late])
        tale.expect_all_run(scene, VOLUME_END + 20, "its own volume later than Incus's minute")
        tale.say(f"incusd died {_panics(scene)} times; {scene.seen.starts}")


def _add_device(scene: tales.Scene) -> None:
    scene.healthy()
    scene.each.exec(["incus", "config", "device", "add", "c1", "null", *_DEVICE])
    scene.poweroff()


def _panics(scene: tales.Scene) -> int:
    """How often incusd died in this boot."""
    return int(scene.unit("incus.service", "NRestarts") or 0)


def _stock(tale: tales.Tale, scene: tales.Scene) -> None:
    scene.watch(TICK + BACK, lambda: scene.seen.all_run and scene.each.now() > TICK)
    tale.say(f"stock: incusd died {_panics(scene)} times; {scene.seen.starts}")
    tale.expect(_panics(scene) > 0, "stock: incusd dies at its own minute, as known")
    tale.expect(scene.seen.all_run, "stock: nothing is lost by it", scene.seen.starts)


def _ours(tale: tales.Tale, scene: tales.Scene, variant: Variant) -> None:
    tale.expect_all_run(scene, OFFLINE_END + 20, f"{variant}")
    scene.watch(TICK)
    died = _panics(scene)
    tale.expect(died == 0, f"{variant}: incusd lives through its own minute", died)
    tale.expect(scene.seen.all_run, f"{variant}: everything still runs", scene.seen.starts)
    once = all(len(starts) == 1 for starts in scene.seen.starts.values())
    tale.expect(once, f"{variant}: nothing was started twice", scene.seen.starts)
