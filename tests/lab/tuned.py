# SPDX-License-Identifier: Apache-2.0
"""What a person does with ``tidegate tune`` on a machine of the lab: types it, boots until that is recorded, looks at the result."""

import json
import textwrap
from collections.abc import Mapping

from tests.lab import special_units, variants
from tests.lab import tale as tales
from tests.lab.dressed import Dressed

from tidegate.core.trouble import Trouble
from tidegate.history import boots
from tidegate.metrics.moments import Moment

PAIRS = 3
"""Boots on each side: the fewest by which a clear difference counts."""
WITHIN = 60.0
WRITTEN = 30.0
"""Seconds by which the agent has looked again, at rest, and written that all runs."""
_NOW = """\
import os, sys, time
from tidegate.agent import tunecommands, tunedisks
from tidegate.cli import main
tunecommands.SETTLED = 0.0  # the lab's machines do not live for five minutes
"""
_GO = "sys.exit(main.main())\n"


def boot(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """Boot, and on until the agent has written down when the last instance ran."""
    wears.booting()
    scene.boot(ties=wears.ties())
    tale.expect(scene.watch_all(WITHIN), f"{where}: every container runs", scene.seen.starts)
    scene.watch(scene.each.now() + WRITTEN, lambda: is_recorded(scene))


def boot_often(tale: tales.Tale, scene: tales.Scene, wears: Dressed, where: str) -> None:
    """:data:`PAIRS` boots; the machine is down before and up after."""
    for number in range(PAIRS):
        boot(tale, scene, wears, where)
        if number < PAIRS - 1:
            scene.poweroff()


def is_recorded(scene: tales.Scene) -> bool:
    """Whether the agent has written when the last instance of this boot ran, and that nothing is resynchronised."""
    kept = scene.bench.directory / "state/tidegate/history.db"
    found = boots.read_boots(kept, most=1)
    if isinstance(found, Trouble):
        return False
    written = {name for boot in found for name, _, _ in boot.measures}
    return written >= {Moment.LAST_INSTANCE, Moment.RESYNC_OVER}


def forget(scene: tales.Scene) -> None:
    """Forget the recorded boots; the machine is down afterwards."""
    if scene.each.running:
        scene.poweroff()
    for path in (scene.bench.directory / "state/tidegate").glob("history.db*"):
        path.unlink()


def put_options(
    scene: tales.Scene, options: Mapping[str, Mapping[str, str]], *, unset: bool = False
) -> None:
    """Set options of real Incus's instances, or take them out."""
    for name, said in options.items():
        for key, value in said.items():
            words = ["unset", name, key] if unset else ["set", name, f"{key}={value}"]
            scene.each.exec(["incus", "config", *words])


def tune(scene: tales.Scene, *words: str, code: str = "") -> str:
    """Type ``tidegate tune``; ``code`` is run in front of it."""
    program = [*variants.TIDEGATE[:-2], "-c", textwrap.dedent(f"{_NOW}{code}{_GO}"), "tune"]
    return scene.each.exec([*program, *words], timeout=120, check=False)


def advised(scene: tales.Scene, *words: str, code: str = "") -> dict[str, float]:
    """What is advised, in its order, with the seconds. How busy this machine's host is says nothing of the machine."""
    said = tune(scene, "--format", "json", *words, code=code)
    found = {one["id"]: one["gain"] for one in json.loads(said[said.index("{") :])["advice"]}
    if "boot-weight" in found and len(found) > 1:
        del found["boot-weight"]
    return found


def proven(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    """Real boots show the gain."""
    said = tune(scene, "result", name)
    tale.say("; ".join(said.splitlines()))
    tale.expect(f"{name}: faster (+" in said, f"{name}: real boots show the gain", said)


def apply(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    """Have it written, and systemd know it."""
    said = tune(scene, "apply", name)
    tale.expect("written: " in said, f"{name}: apply writes what it says", said)
    said = scene.tidegate("units", "verify", check=False)
    tale.expect("systemd has loaded it" in said, f"{name}: and systemd has it", said)


def by_hand(tale: tales.Tale, scene: tales.Scene, name: str, *words: str, code: str = "") -> None:
    """Note that a person makes the change."""
    said = tune(scene, "apply", name, "--by-hand", *words, code=code)
    tale.expect("noted; make the change now" in said, f"{name}: noted as done by hand", said)


def revert(tale: tales.Tale, scene: tales.Scene, name: str) -> None:
    """Take it back."""
    said = tune(scene, "revert", name)
    tale.expect("it counts from the next boot on" in said, f"{name}: taken back", said)


def same(tale: tales.Tale, scene: tales.Scene, before: dict[str, str], what: str) -> None:
    """Nothing is there that was not, or otherwise than it was."""
    now = tree(scene)
    differs = sorted(
        path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
    )
    tale.expect(not differs, f"revert of {what} leaves no byte", differs)


def tree(scene: tales.Scene) -> dict[str, str]:
    """All that may be written to, without what the agent writes and the note of what was applied when."""
    others = ("/var/lib/tidegate/tune.json", "/var/lib/tidegate/guarded.json")
    return {path: text for path, text in special_units.tree(scene).items() if path not in others}
