# SPDX-License-Identifier: Apache-2.0
"""The kinds of machine that are compared: Debian, Incus and LINBIT's units as they are, or with parts of Tidegate besides.

Units are as packaged (``packaging/systemd``), where ``packaging/install.sh`` puts them; only where the code lies differs, by a drop-in.
What is wanted comes from one healthy boot, as on a real host; boot order is put in by ``tidegate units apply`` on that machine while it
runs, and looked at by ``tidegate units verify``. A further strategy is one more line in :data:`SET_UP`, and two names in :class:`Variant`.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
from tests.lab import controller, golden, host, machine, observe, rig, seed

PACKAGED = host.PROJECT / "packaging" / "systemd"
AGENT_UNIT = "tidegate-agent.service"
UNITS = "/usr/local/lib/systemd/system"
SYSTEM = "/etc/systemd/system"
_RUNS = "/usr/bin/python3 -m tidegate"
TIDEGATE = ("env", f"PYTHONPATH={golden.SOURCE}:{golden.DEPS}", *_RUNS.split())
"""The words that run our command inside a machine."""
_MAP = "/var/lib/tidegate/wanted.json"
LEARNS = 60.0


class Variant(StrEnum):
    """What the machine has on it: ``STRATEGY-agent``, with either left out where it is not there."""

    STOCK = "stock"
    AGENT = "agent"
    GATE = "gate"
    GATE_AGENT = "gate-agent"
    ORDER = "order"
    ORDER_AGENT = "order-agent"
    GUARD = "guard"
    GUARD_AGENT = "guard-agent"

    @property
    def strategy(self) -> str:
        """What orders the boot; "" when nothing of ours does."""
        first = self.value.partition("-")[0]
        return first if first in SET_UP else ""

    @property
    def agent(self) -> bool:
        """Whether the agent runs. Without it, but with a strategy, its unit is masked."""
        return self.value.endswith("agent")

    @property
    def holds(self) -> bool:
        """Whether all of Incus waits for the storage, instances on other pools included."""
        return self.strategy in HOLDING


SET_UP: dict[str, tuple[tuple[str, ...], ...]] = {
    "gate": (("units", "apply", "--strategy", "gate"),),
    "order": (("units", "apply", "--strategy", "order"),),
    "guard": (("guard", "enable"),),
}
"""What a person types on a running host to have a strategy; after it ``units verify`` must find nothing."""
HOLDING = frozenset({"gate", "order"})


def available(variant: Variant) -> str | None:
    """Why ``variant`` cannot be run from this work tree, or None."""
    if variant is not Variant.STOCK and not (PACKAGED / AGENT_UNIT).exists():
        return f"{(PACKAGED / AGENT_UNIT).relative_to(host.PROJECT)} is not there"
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


def packaged() -> list[Path]:
    """Our units in the source tree."""
    return sorted(path for path in PACKAGED.iterdir() if path.suffix in {".service", ".socket"})


def _elsewhere(unit: str) -> str:
    """The drop-in that lets a packaged unit run our code where the lab has it: only its command's first word changes."""
    lines = ["[Service]", f"Environment=PYTHONPATH={golden.SOURCE}:{golden.DEPS}"]
    for line in unit.splitlines():
        if line.startswith("ExecStart="):
            words = line.partition("/bin/tidegate")[2]
            lines += ["ExecStart=", f"ExecStart={_RUNS}{words}"]
    return "\n".join(lines) + "\n"


def _build_packaged(layer: Path) -> None:
    """Our units as ``install.sh`` would leave them, and the agent enabled."""
    units = layer / UNITS.lstrip("/")
    units.mkdir(parents=True)
    for path in packaged():
        text = path.read_text()
        (units / path.name).write_text(text)
        if "ExecStart=" in text:
            (units / f"{path.name}.d").mkdir()
            (units / f"{path.name}.d/50-lab.conf").write_text(_elsewhere(text))
    link = layer / SYSTEM.lstrip("/") / "multi-user.target.wants" / AGENT_UNIT
    link.parent.mkdir(parents=True)
    link.symlink_to(f"{UNITS}/{AGENT_UNIT}")


def prepare(variant: Variant, each: machine.Machine) -> None:
    """Put into a machine that is down what ``variant`` has besides its layers."""
    if variant.strategy and not variant.agent:
        each.link(f"{SYSTEM}/{AGENT_UNIT}", "/dev/null")


def await_map(
    each: machine.Machine, seconds: float = LEARNS, names: Sequence[str] = seed.INSTANCES
) -> None:
    """Wait until the agent has written what is wanted, every one of ``names`` in it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        path = each.inside(_MAP)
        text = path.read_text() if path.exists() else ""
        if all(f'"{name}"' in text or f"/{name}" in text for name in names):
            return
        state = each.exec(["systemctl", "is-failed", AGENT_UNIT], check=False).strip()
        if state == "failed":
            break
        time.sleep(0.25)
    last = observe.journal(each.journal, AGENT_UNIT)[-2000:]
    raise host.LabError(
        f"the agent wrote no complete {_MAP} ({seconds:.0f} s waited at most):\n{last}"
    )


def _learn(target: Path, start: Ground) -> None:
    """One healthy boot, in which the agent learns what is wanted."""
    with rig.rig("learn") as bench:
        each, master = stand_up(bench, start)
        with master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            await_map(each)
            each.poweroff()
            master.down()
        seed.copy(bench.directory / "state", target / "state")


def _apply(target: Path, start: Ground, strategy: str) -> None:
    """One more healthy boot, in which a person puts ``strategy`` in and looks whether systemd has it; what came of it is a layer."""
    with rig.rig(f"apply-{strategy}") as bench:
        each, master = stand_up(bench, start)
        with master:
            each.start(bench.network)
            master.booting(each)
            each.wait()
            for words in (*SET_UP[strategy], ("units", "verify")):
                each.exec([*TIDEGATE, *words])
            each.poweroff()
            master.down()
        layer = target / "root" / SYSTEM.lstrip("/")
        layer.parent.mkdir(parents=True)
        shutil.copytree(each.written(SYSTEM), layer, symlinks=True)
        seed.copy(bench.directory / "state", target / "state")


def ground(variant: Variant, layers: golden.Layers) -> Ground:
    """Make what machines of ``variant`` stand on; where Tidegate is on it, healthy boots are needed for that."""
    state = seed.stock(layers)
    if variant is Variant.STOCK:
        return Ground(variant=variant, lower=layers.stock(), state=state)
    key = golden.key_of(*packaged(), *(_elsewhere(path.read_text()) for path in packaged()))
    units = golden.cached("packaged", key, _build_packaged, says="our units' layer")
    lower = (units, *layers.with_tidegate())
    learned = _learned(Ground(variant=Variant.AGENT, lower=lower, state=state))
    if not variant.strategy:
        return learned
    applied = _applied(learned, variant.strategy)
    lower = (applied / "root", *lower)
    return Ground(variant=variant, lower=lower, state=applied / "state")


def _learned(start: Ground) -> Ground:
    key = golden.key_of(start.state.parent.name, *(layer.name for layer in start.lower[:2]))
    build: Callable[[Path], None] = lambda at: _learn(at, start)  # noqa: E731
    state = golden.cached("learned", key, build, says="the agent's first boot") / "state"
    return msgspec.structs.replace(start, state=state)


def _applied(start: Ground, strategy: str) -> Path:
    """The layer and the state that ``strategy`` leaves."""
    words = (" ".join(words) for words in SET_UP[strategy])
    key = golden.key_of(start.state.parent.name, strategy, *words)
    build: Callable[[Path], None] = lambda at: _apply(at, start, strategy)  # noqa: E731
    return golden.cached("applied", key, build, says=f"the boot that puts {strategy} in")


def stand_up(bench: rig.Rig, on: Ground) -> tuple[machine.Machine, controller.Controller]:
    """A machine on ``on``, down, and its controller, running, over a copy of the seed."""
    kept = bench.directory / "state"
    seed.copy(on.state, kept)
    drbd = bench.directory / "drbd"
    binds = (machine.Bind(source=drbd, target="/run/lab/drbd", readonly=True),)
    each = bench.add_machine(seed.NODE, f"{seed.ADDRESS}/24", on.lower, kept, binds)
    prepare(on.variant, each)
    return each, controller.Controller(bench, state=kept, drbd=drbd)
