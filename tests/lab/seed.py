# SPDX-License-Identifier: Apache-2.0
"""The seed: what a machine of the lab carries before any fault, made once by real Incus and kept, and copied for each run.

Pool ``local`` (directory) with d1, pool ``remote`` (LINSTOR) with c1 to c3, all with ``boot.autostart``; shut down in good order.
"""

from pathlib import Path

from tests.lab import controller, golden, host, machine, rig

NODE = "n1"
ADDRESS = "10.99.0.11"
REMOTE = ("c1", "c2", "c3")
LOCAL = ("d1",)
INSTANCES = (*REMOTE, *LOCAL)
_VERSION = "2"
_SET_UP = (
    ("config", "set", f"storage.linstor.controller_connection={controller.URL}"),
    ("storage", "create", "local", "dir"),
    ("storage", "create", "remote", "linstor", "volume.size=64MiB"),
    ("image", "import", golden.IMAGE, "--alias", "tiny"),
    *(("launch", "tiny", name, "-s", "remote", "-c", "boot.autostart=true") for name in REMOTE),
    *(("launch", "tiny", name, "-s", "local", "-c", "boot.autostart=true") for name in LOCAL),
)


def copy(source: Path, target: Path) -> None:
    """Copy a seed's directories, holes kept as holes, blocks shared where the file system can."""
    target.mkdir(parents=True, exist_ok=True)
    words = ["cp", "--archive", "--sparse=always", "--reflink=auto"]
    host.run([*words, f"{source}/.", str(target)], timeout=300)


def _build(target: Path, layers: golden.Layers) -> None:
    with rig.rig("seed") as bench:
        state = bench.directory / "state"
        drbd = bench.directory / "drbd"
        binds = (machine.Bind(source=drbd, target="/run/lab/drbd", readonly=True),)
        each = bench.add_machine(NODE, f"{ADDRESS}/24", layers.stock(), state, binds)
        with controller.Controller(bench, state=state, drbd=drbd) as master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            for words in _SET_UP:
                each.exec(["incus", *words], timeout=90)
            each.poweroff()
            master.down()
        copy(each.journal, target / "journal")
        copy(state, target / "state")


def stock(layers: golden.Layers) -> Path:
    """The seed for machines without Tidegate; made if it is not there (some 20 seconds)."""
    parts = [_VERSION, str(layers.base), str(layers.dress), *(" ".join(words) for words in _SET_UP)]
    made = golden.cached(
        "seed", golden.key_of(*parts), lambda at: _build(at, layers), says="the seed"
    )
    return made / "state"
