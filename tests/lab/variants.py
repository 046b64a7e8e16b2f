# SPDX-License-Identifier: Apache-2.0
"""The two kinds of machine that are compared: ``stock`` (Debian, Incus and LINBIT's units) and ``agent`` (Tidegate's agent besides).

The agent runs as packaged (``packaging/systemd/tidegate-agent.service``); only where its code lies differs, by a drop-in. Its map of
what is wanted comes from one healthy boot, as on a real host.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
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


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What machines of one variant stand on, fixed for a whole run however the work tree changes meanwhile.

    Attributes:
        variant: which.
        lower: layers of the root file system, topmost first.
        state: the seed that is copied for each boot.
    """

    variant: Variant
    lower: tuple[Path, ...]
    state: Path


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


def _learn(target: Path, start: Ground) -> None:
    with rig.rig("learn") as bench:
        each, master = stand_up(bench, start)
        with master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            _await_map(each, 60)
            each.poweroff()
            master.down()
        seed.copy(bench.directory / "state", target / "state")


def ground(variant: Variant, layers: golden.Layers) -> Ground:
    """Make what machines of ``variant`` stand on; for the agent this boots once, healthy, so that it learns what is wanted."""
    state = seed.stock(layers)
    if variant is Variant.STOCK:
        return Ground(variant=variant, lower=layers.stock(), state=state)
    lower = layers.with_tidegate()
    start = Ground(variant=variant, lower=lower, state=state)
    key = golden.key_of(state.parent.name, lower[0].name, UNIT, _DROP_IN)
    build: Callable[[Path], None] = lambda at: _learn(at, start)  # noqa: E731
    learned = golden.cached("learned", key, build, says="the agent's first boot") / "state"
    return Ground(variant=variant, lower=lower, state=learned)


def stand_up(bench: rig.Rig, on: Ground) -> tuple[machine.Machine, controller.Controller]:
    """A machine on ``on``, down, and its controller, running, over a copy of the seed."""
    kept = bench.directory / "state"
    seed.copy(on.state, kept)
    drbd = bench.directory / "drbd"
    binds = (machine.Bind(source=drbd, target="/run/lab/drbd", readonly=True),)
    each = bench.add_machine(seed.NODE, f"{seed.ADDRESS}/24", on.lower, kept, binds)
    prepare(on.variant, each)
    return each, controller.Controller(bench, state=kept, drbd=drbd)
