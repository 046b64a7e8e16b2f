# SPDX-License-Identifier: Apache-2.0
"""What a special run is told with: a machine that is booted more than once, things that live only while others do, promises.

A scenario of the table is one boot with faults at fixed seconds. Here a fault may end because of what the machine does (:class:`Tie`),
a person may type commands, the power may fail. Each tale is a module ``special_NAME`` with ``SAYS`` and ``tell(tale)``.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from tests.lab import controller, golden, host, machine, observe, rig, run, seed, variants
from tests.lab.variants import Variant

from tidegate.sim.faults import Fault, FaultKind

SATELLITE = "linstor-satellite.service"
GATE = "tidegate-ready.service"
NAIVE = f"{variants.SYSTEM}/{SATELLITE}.d/override.conf"


def naive(limit: str) -> str:
    """The recipe that circulates, with the unit's right name for Debian and ``limit`` as its start time-out (facts/observed.md, r3)."""
    return (
        "[Unit]\nAfter=network-online.target zfs.target\nBefore=incus.service\n"
        f"[Service]\nType=notify\nTimeoutStartSec={limit}\n"
    )


def fault(kind: FaultKind, end: float | None = None, subject: str = "*") -> Fault:
    """One fault that is there from the start of the boot."""
    return Fault(kind=kind, end=end, subject=subject)


class Tie(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that is there while something does not live: the satellite's node is OFFLINE without its process, and so on."""

    kind: FaultKind
    alive: Callable[[machine.Machine], bool]
    subject: str = "*"


def _has_satellite(each: machine.Machine) -> bool:
    with contextlib.suppress(OSError):
        return bool((each.cgroup / "system.slice" / SATELLITE / "cgroup.procs").read_text().split())
    return False


SATELLITE_TIE = Tie(kind=FaultKind.NODE_OFFLINE, subject=seed.NODE, alive=_has_satellite)


def controller_in(name: str) -> Tie:
    """The controller answers only while container ``name`` runs."""
    return Tie(
        kind=FaultKind.CONTROLLER_REFUSES,
        alive=lambda each: observe.container_pid(each.cgroup, name) is not None,
    )


class Scene:
    """One machine and its controller through several boots. Make it with :meth:`Tale.scene`."""

    def __init__(
        self, bench: rig.Rig, each: machine.Machine, master: controller.Controller
    ) -> None:
        self.bench = bench
        self.each = each
        self.master = master
        self.names: tuple[str, ...] = seed.INSTANCES
        self.seen = observe.Watch(each, self.names)
        self._ties: dict[Tie, bool] = {}

    def boot(self, faults: Sequence[Fault] = (), ties: Sequence[Tie] = ()) -> None:
        """Start the machine; nothing that a tie belongs to lives yet."""
        self._ties = dict.fromkeys(ties, False)
        tied = [Fault(kind=tie.kind, subject=tie.subject) for tie in ties]
        self.seen = observe.Watch(self.each, self.names)
        self.each.start(self.bench.network)
        self.master.booting(self.each, [*faults, *tied])

    def healthy(self) -> None:
        """Boot with nothing wrong, until systemd says that the boot is over."""
        self.boot()
        self.each.wait()

    def look(self) -> None:
        """Look once at the containers and at what is tied."""
        self.master.check()
        if not self.each.running:
            raise host.LabError(f"machine {self.each.name} ended by itself")
        self.seen.look()
        for tie, lived in self._ties.items():
            if (lives := tie.alive(self.each)) is not lived:
                self._ties[tie] = lives
                act = self.master.clear if lives else self.master.fault
                act(tie.kind, tie.subject)

    def watch(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Look on until second ``until`` of the machine, or until ``done``; returns whether it was done."""
        while self.each.now() < until:
            self.look()
            if done is not None and done():
                return True
            time.sleep(run.POLL)
        return False

    def watch_all(self, until: float) -> bool:
        """Until every container runs, and some seconds more: nothing may be started twice."""
        if not self.watch(until, lambda: self.seen.all_run):
            return False
        self.watch(self.each.now() + run.SETTLE)
        return self.seen.all_run

    def bare(self, names: Sequence[str]) -> float:
        """Seconds that ``names`` take when a person starts them one after another, everything healthy (contract.md, words).

        Each is stopped just before it, and not all of them before the first: Incus's own minute would start what is down meanwhile.
        """
        took = 0.0
        for name in names:
            self.each.exec(["incus", "stop", "--force", name])
            began = self.each.now()
            self.each.exec(["incus", "start", name])
            took += self.each.now() - began
        return took

    def resource(self, name: str) -> str:
        """LINSTOR's name of the volume of container ``name``: Incus writes it into a property."""
        for resource, row in self.master.dump()["data"]["definitions"].items():
            if any(str(value).endswith(name) for value in row["props"].values()):
                return str(resource)
        raise LookupError(name)

    def ran(self, name: str) -> float | None:
        """When ``name`` first ran in this boot."""
        starts = self.seen.starts[name]
        return starts[0] if starts else None

    def tidegate(self, *words: str, check: bool = True) -> str:
        """Run our command inside; returns what it printed."""
        return self.each.exec([*variants.TIDEGATE, *words], timeout=60, check=check)

    def unit(self, name: str, key: str = "ActiveState") -> str:
        """What systemd says of ``name``."""
        return self.each.exec(
            ["systemctl", "show", "--value", "-p", key, name], check=False
        ).strip()

    def poweroff(self, timeout: float = 120) -> float:
        """Shut down in good order; returns the seconds that it took."""
        began = time.monotonic()
        self.each.poweroff(timeout)
        self.master.down()
        return time.monotonic() - began

    def crash(self) -> None:
        """Cut the power."""
        self.each.crash()
        self.master.down()

    def journal(self, *units: str) -> str:
        """This machine's journal of all its boots."""
        return observe.journal(self.each.journal, *units)


class Tale:
    """One special run: what was promised and not kept, and what was seen."""

    def __init__(self, name: str, layers: golden.Layers, part: str = "") -> None:
        self.name = name
        self.part = part
        """The one part to tell; "" for all."""
        self.broken: list[str] = []
        self.failed = False
        self._layers = layers

    def say(self, text: str) -> None:
        """Tell a person what was seen."""
        print(f"lab: {self.name}: {text}", flush=True)

    def expect(self, truth: bool, promise: str, seen: object = "") -> None:
        """Hold the run to ``promise``; ``seen`` is told when it is broken."""
        if not truth:
            more = f"; seen: {seen}" if seen != "" else ""
            self.broken.append(f"{self.name}: {promise}{more}")
        self.say(f"{'kept' if truth else 'BROKEN'}: {promise}")

    def expect_all_run(self, scene: Scene, until: float, where: str) -> None:
        """Every container runs before second ``until``, each started once."""
        scene.watch_all(until)
        starts = {name: scene.seen.starts[name] for name in scene.names}
        all_run = all(scene.seen.running(name) for name in scene.names)
        self.expect(all_run, f"{where}: every container runs by {until:.0f}", starts)
        once = all(len(some) <= 1 for some in starts.values())
        self.expect(once, f"{where}: none is started twice", starts)

    @contextlib.contextmanager
    def scene(self, variant: Variant, part: str = "") -> Iterator[Scene]:
        """A machine of ``variant``, down; kept for a person to look at when the block ends."""
        name = "-".join(word for word in (self.name, part, str(variant)) if word)
        on = variants.ground(variant, self._layers)
        with rig.rig(name) as bench:
            each, master = variants.stand_up(bench, on)
            with master:
                scene = Scene(bench, each, master)
                try:
                    yield scene
                finally:
                    each.kill()
                    run.keep(bench, each, master, name)
