# SPDX-License-Identifier: Apache-2.0
"""Run scenarios: one boot after the other or two beside each other, watched from outside, as results that can be kept."""

import json
import shutil
import sys
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
    stage,
    turns,
    variants,
    volumes,
)

from tidegate.sim.faults import FaultKind

_OF_A_BOOT = (controller, machine, observe, rig, stage, volumes, sys.modules[__name__])
"""What a boot without Tidegate depends on besides its seed: one that was kept counts only while these are as they were."""
POLL = 0.05
PATIENCE = 75.0  # beyond Incus's 60 s retry: what has not started by then never will
SETTLE = 3.0  # goes on watching: nothing may be started twice or die
LIMIT = 330.0


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """What one boot showed; all times are seconds after PID 1.

    Attributes:
        scenario: name in :data:`tests.lab.scenarios.SCENARIOS`.
        variant: what was on the machine.
        fault_end: when nothing was wrong any more.
        api: when Incus's API answered; None: not before the end.
        first_pass: when Incus had done its own autostart; None: not before the end.
        starts: each container's starts.
        lost: containers that did not run at the end.
        attempts: of Incus at instances, that failed.
        watched: how long it was watched.
    """

    scenario: str
    variant: variants.Variant
    fault_end: float
    first_pass: float | None
    starts: dict[str, list[float]]
    lost: tuple[str, ...]
    watched: float
    api: float | None = None
    attempts: int = 0

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


def _over(
    watch: observe.Watch, now: float, what: scenarios.Scenario, complete: float | None
) -> bool:
    fault_end = what.fault_end
    if what.cut is not None and now > what.cut:
        return True
    if complete is not None:
        return now > max(complete, fault_end, watch.first_pass or now) + SETTLE
    if watch.first_pass is not None:
        return now > max(fault_end, watch.first_pass) + PATIENCE
    return now > LIMIT


def _observe(
    each: machine.Machine,
    master: controller.Controller,
    net: _Network,
    what: scenarios.Scenario,
    stop: threading.Event,
) -> observe.Watch:
    fault_end = what.fault_end
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
        if None in (watch.first_pass, watch.api) and now > max(fault_end, asked + 1):
            watch.ask_first_pass()
            asked = now
        if _over(watch, now, what, complete):
            return watch
        if stop.wait(POLL):
            raise host.LabError("stopped from outside")


def keep(bench: rig.Rig, each: machine.Machine, master: controller.Controller, name: str) -> str:
    """Leave what helps to understand a run: journal, what the controller held and was asked, our state. The last of each name.

    Returns the journal.
    """
    place = host.lab_dir() / "last" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    text = observe.journal(each.journal)
    (place / "journal.txt").write_text(text)
    ours = observe.journal(each.journal, "tidegate-*")
    if "tidegate" in ours:
        (place / "tidegate.txt").write_text(ours)
    shutil.copy(bench.directory / "controller.log", place)
    (place / "controller.json").write_text(json.dumps(master.dump(), indent=1))
    shutil.copytree(each.journal, place / "journal")
    state = bench.directory / "state" / "tidegate"
    if any(state.iterdir()):
        shutil.copytree(state, place / "tidegate")
    return text


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
            watch = _observe(each, master, net, what, stop)
            watched = each.now()
            devices = master.devices_at - each.zero
            each.kill()
            text = keep(bench, each, master, job.name)
    return Boot(
        scenario=job.scenario,
        variant=job.variant,
        fault_end=round(max(what.fault_end, devices), 3) if what.faults else 0.0,
        api=watch.api,
        first_pass=watch.first_pass,
        attempts=observe.attempts(text),
        starts=watch.starts,
        lost=tuple(name for name in seed.INSTANCES if not watch.running(name)),
        watched=round(watched, 1),
    )


def _cache(job: Job, on: variants.Ground) -> Path:
    """Where the boot of a stock machine is kept: it changes only with the seed, the scenario, the simulator and the lab."""
    what = msgspec.json.encode(scenarios.SCENARIOS[job.scenario]).decode()
    files = (Path(str(module.__file__)) for module in _OF_A_BOOT)
    key = golden.key_of(str(on.state), what, *files, host.PROJECT / "src" / "tidegate" / "sim")
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
        try:
            with self._turns.turn(fault_end, retries=not job.variant.agent, stop=self.stop):
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
