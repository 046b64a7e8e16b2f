# SPDX-License-Identifier: Apache-2.0
"""The two kinds of machine that are compared: ``stock`` (Debian, Incus and LINBIT's units) and ``agent`` (Tidegate's agent besides).

The agent runs as packaged (``packaging/systemd/tidegate-agent.service``); only where its code lies differs, by a drop-in. Its map of
what is wanted comes from one healthy boot, as on a real host.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from tests.lab import controller, golden, host, machine, observe, rig, seed

UNIT = host.PROJECT / "packaging" / "systemd" / "tidegate-agent.service"
_DROP_IN = f"""[Service]
Environment=PYTHONPATH={golden.SOURCE}:{golden.DEPS}
ExecStart=
ExecStart=/usr/bin/python3 -m tidegate agent
"""
_UNITS = "/etc/systemd/system"
_MAP = "/var/lib/tidegate/wanted.json"


class Variant(StrEnum):
    """What the machine has on it."""

    STOCK = "stock"
    AGENT = "agent"


def available(variant: Variant) -> str | None:
    """Why ``variant`` cannot be run from this work tree, or None."""
    if variant is Variant.AGENT and not UNIT.exists():
        return f"{UNIT.relative_to(host.PROJECT)} is not there"
    return None


def lower(variant: Variant, layers: golden.Layers) -> tuple[Path, ...]:
    """The layers under a machine of ``variant``."""
    return layers.stock() if variant is Variant.STOCK else layers.with_tidegate()


def prepare(variant: Variant, each: machine.Machine) -> None:
    """Put into a machine that is down what ``variant`` has besides its layers."""
    if variant is Variant.STOCK:
        return
    each.write(f"{_UNITS}/{UNIT.name}", UNIT.read_text())
    each.write(f"{_UNITS}/{UNIT.name}.d/50-lab.conf", _DROP_IN)
    each.link(f"{_UNITS}/multi-user.target.wants/{UNIT.name}", f"{_UNITS}/{UNIT.name}")


def _await_map(each: machine.Machine, seconds: float) -> None:
    """Until the agent has written what is wanted, every instance in it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        path = each.inside(_MAP)
        text = path.read_text() if path.exists() else ""
        if all(f'"{name}"' in text or f"/{name}" in text for name in seed.INSTANCES):
            return
        state = each.exec(["systemctl", "is-failed", UNIT.name], check=False).strip()
        if state == "failed":
            break
        time.sleep(0.25)
    last = observe.journal(each.journal, UNIT.name)[-2000:]
    raise host.LabError(
        f"the agent wrote no complete {_MAP} ({seconds:.0f} s waited at most):\n{last}"
    )


def _learn(target: Path, layers: golden.Layers, start: Path) -> None:
    with rig.rig("learn") as bench:
        seed.copy(start, bench.directory / "state")
        each, master = stand_up(bench, Variant.AGENT, layers)
        with master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            _await_map(each, 60)
            each.poweroff()
            master.down()
        seed.copy(bench.directory / "state", target / "state")


def state(variant: Variant, layers: golden.Layers) -> Path:
    """The seed that a machine of ``variant`` starts from."""
    start = seed.stock(layers)
    if variant is Variant.STOCK:
        return start
    package = layers.with_tidegate()[0].name
    key = golden.key_of(start.parent.name, package, UNIT, _DROP_IN)
    build: Callable[[Path], None] = lambda at: _learn(at, layers, start)  # noqa: E731
    return golden.cached("learned", key, build, says="the agent's first boot") / "state"


def stand_up(
    bench: rig.Rig, variant: Variant, layers: golden.Layers
) -> tuple[machine.Machine, controller.Controller]:
    """A machine of ``variant``, down, and its controller, running, over ``bench``'s copy of a seed."""
    drbd = bench.directory / "drbd"
    binds = (machine.Bind(source=drbd, target="/run/lab/drbd", readonly=True),)
    kept = bench.directory / "state"
    address = f"{seed.ADDRESS}/24"
    each = bench.add_machine(seed.NODE, address, lower(variant, layers), kept, binds)
    prepare(variant, each)
    return each, controller.Controller(bench, state=kept, drbd=drbd)
