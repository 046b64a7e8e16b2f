# SPDX-License-Identifier: Apache-2.0
"""Run scenarios: one boot after the other or two beside each other, watched from outside, as results that can be kept."""

import json
import shutil
import threading
from concurrent import futures
from pathlib import Path

import msgspec
from tests.lab import (
    controller,
    golden,
    host,
    machine,
    observe,
    rig,
    scenarios,
    seed,
    turns,
    variants,
)

from tidegate.sim.faults import FaultKind

POLL = 0.05
PATIENCE = 75.0  # beyond Incus's 60 s retry: what has not started by then never will
SETTLE = 3.0  # goes on watching: nothing may be started twice or die
LIMIT = 330.0


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """What one boot showed; all times are seconds after PID 1.

    Attributes:
        scenario: name in :data:`tests.lab.scenarios.SCENARIOS`.
        variant: ``stock`` or ``agent``.
        fault_end: when nothing was wrong any more.
        first_pass: when Incus had done its own autostart; None: not before the end.
        starts: each container's starts.
        lost: containers that did not run at the end.
        watched: how long it was watched.
    """

    scenario: str
    variant: variants.Variant
    fault_end: float
    first_pass: float | None
    starts: dict[str, list[float]]
    lost: tuple[str, ...]
    watched: float

    @property
    def from_when(self) -> float:
        """The later of the fault's end and the end of Incus's first pass: nobody can start anything reliably before."""
        return max(self.fault_end, self.first_pass or self.watched)

    @property
    def last(self) -> float | None:
        """When the last container began to run; None when one is lost."""
        if self.lost:
            return None
        return max(starts[0] for starts in self.starts.values())

    @property
    def after(self) -> float | None:
        """Seconds from :attr:`from_when` to :attr:`last`; None when a container is lost."""
        return None if self.last is None else self.last - self.from_when


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One boot to do. ``number`` tells repetitions apart."""

    scenario: str
    variant: variants.Variant
    number: int = 1

    @property
    def name(self) -> str:
        """For directories and lines."""
        return f"{self.scenario}-{self.variant}-{self.number}"


class _Network:
    """The black hole of a scenario: there from the start, gone at its end."""

    def __init__(self, bench: rig.Rig, until: float) -> None:
        self._bench = bench
        self._until = until
        self._on = until > 0
        if self._on:
            bench.black_hole(seed.ADDRESS, on=True)

    def look(self, now: float) -> None:
        if self._on and now >= self._until:
            self._bench.black_hole(seed.ADDRESS, on=False)
            self._on = False


def _over(watch: observe.Watch, now: float, fault_end: float, complete: float | None) -> bool:
    if complete is not None:
        return now > max(complete, fault_end, watch.first_pass or now) + SETTLE
    if watch.first_pass is not None:
        return now > max(fault_end, watch.first_pass) + PATIENCE
    return now > LIMIT


def _observe(
    each: machine.Machine,
    master: controller.Controller,
    net: _Network,
    fault_end: float,
    stop: threading.Event,
) -> observe.Watch:
    watch = observe.Watch(each, seed.INSTANCES)
    complete: float | None = None
    asked = 0.0
    while True:
        now = each.now()
        net.look(now)
        watch.look()
        master.check()
        if not each.running:
            raise host.LabError(f"machine {each.name} ended by itself at {now:.1f}")
        complete = (complete or now) if watch.all_run else None
        if watch.first_pass is None and now > max(fault_end, asked + 1):
            watch.ask_first_pass()
            asked = now
        if _over(watch, now, fault_end, complete):
            return watch
        if stop.wait(POLL):
            raise host.LabError("stopped from outside")


def _keep(bench: rig.Rig, each: machine.Machine, master: controller.Controller, job: Job) -> None:
    """Leave what helps to understand a run: journal, what the controller held and was asked, our state. The last of each name."""
    place = host.lab_dir() / "last" / job.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "journal.txt").write_text(observe.journal(each.journal))
    if job.variant is variants.Variant.AGENT:
        (place / "agent.txt").write_text(observe.journal(each.journal, variants.UNIT.name))
    shutil.copy(bench.directory / "controller.log", place)
    (place / "controller.json").write_text(json.dumps(master.dump(), indent=1))
    shutil.copytree(each.journal, place / "journal")
    state = bench.directory / "state" / "tidegate"
    if any(state.iterdir()):
        shutil.copytree(state, place / "tidegate")


def boot(job: Job, on: variants.Ground, stop: threading.Event) -> Boot:
    """Do one boot on ``on`` and say what it showed."""
    what = scenarios.SCENARIOS[job.scenario]
    with rig.rig(job.name) as bench:
        each, master = variants.stand_up(bench, on)
        module_at = what.until(FaultKind.MODULE_LATE)
        each.write("/etc/default/linstor-satellite", f"LAB_MODULE_AT={module_at:.0f}\n")
        with master:
            net = _Network(bench, what.until(FaultKind.CONTROLLER_BLACK_HOLE))
            each.start(bench.network)
            master.booting(each, what.faults)
            watch = _observe(each, master, net, what.fault_end, stop)
            watched = each.now()
            devices = master.devices_at - each.zero
            each.kill()
            _keep(bench, each, master, job)
    return Boot(
        scenario=job.scenario,
        variant=job.variant,
        fault_end=round(max(what.fault_end, devices), 3) if what.faults else 0.0,
        first_pass=watch.first_pass,
        starts=watch.starts,
        lost=tuple(name for name in seed.INSTANCES if not watch.running(name)),
        watched=round(watched, 1),
    )


def _cache(job: Job, on: variants.Ground) -> Path:
    """Where the boot of a stock machine is kept: it changes only with the seed, the scenario, the simulator and the lab."""
    what = msgspec.json.encode(scenarios.SCENARIOS[job.scenario]).decode()
    here = Path(__file__).parent
    key = golden.key_of(str(on.state), what, here, host.PROJECT / "src" / "tidegate" / "sim")
    return host.lab_dir() / "boots" / f"{job.name}-{key}.json"


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A boot that could not be done or watched to its end."""

    name: str
    why: str


class _Bench:
    """What the boots of one call have in common."""

    def __init__(self, grounds: dict[variants.Variant, variants.Ground], *, reuse: bool) -> None:
        self._grounds = grounds
        self._reuse = reuse
        self._turns = turns.Turns()
        self.stop = threading.Event()

    def do(self, job: Job) -> Boot | Failed:
        """Boot, or take a kept boot of the same; says so in a line."""
        on = self._grounds[job.variant]
        kept = _cache(job, on) if job.variant is variants.Variant.STOCK else None
        if self._reuse and kept is not None and kept.exists() and job.scenario != "s0":
            print(f"lab: {job.name}: from an earlier run", flush=True)
            return msgspec.json.decode(kept.read_bytes(), type=Boot)
        fault_end = scenarios.SCENARIOS[job.scenario].fault_end
        stock = job.variant is variants.Variant.STOCK
        try:
            with self._turns.turn(fault_end, retries=stock, stop=self.stop):
                done = boot(job, on, self.stop)
        except host.LabError as error:
            print(f"lab: {job.name}: failed: {error}", flush=True)
            return Failed(name=job.name, why=str(error))
        last = f"lost {' '.join(done.lost)}" if done.lost else f"last container at {done.last:.1f}"
        print(f"lab: {job.name}: {last}", flush=True)
        if kept is not None:
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(msgspec.json.encode(done))
        return done


def boots(jobs: list[Job], *, beside: int, reuse: bool) -> list[Boot | Failed]:
    """Do ``jobs``, at most ``beside`` at a time, and return their boots in the same order.

    Healthy boots are done one at a time, because their own speed is what is looked at. ``reuse``: take kept boots of stock machines.
    """
    layers = golden.layers()
    wanted = sorted({job.variant for job in jobs}, reverse=True)
    grounds = {variant: variants.ground(variant, layers) for variant in wanted}
    bench = _Bench(grounds, reuse=reuse)
    healthy = [job for job in jobs if not scenarios.SCENARIOS[job.scenario].faults]
    done = {job: bench.do(job) for job in healthy}
    with futures.ThreadPoolExecutor(beside) as pool:
        try:
            rest = [job for job in jobs if job not in done]
            done |= zip(rest, pool.map(bench.do, rest), strict=True)
        finally:
            bench.stop.set()
            pool.shutdown(cancel_futures=True)
    return [done[job] for job in jobs]
