# SPDX-License-Identifier: Apache-2.0
"""The storage pools of one incusd process: first pass, retry loop, ``recover/validate`` (facts/incus.md 2.2-2.4)."""

from collections.abc import Callable

from tidegate.sim.incus.journal import Level
from tidegate.sim.incus.tasks import PanicError, Steps
from tidegate.sim.incus.values import Refusal
from tidegate.sim.incus.warnings import POOL_UNAVAILABLE
from tidegate.sim.incus.world import Validation, World
from tidegate.sim.storage import Done, Failed, Hangs, IncusVolume, Reply

_SHORTEST = 0.001
"""Seconds between two questions that both hang, lest time stand still."""


class Pools:
    """Pools as this process knows them: ``unavailable`` and ``loaded`` are its memory only (D38, D50)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.unavailable: set[str] = set()
        self.loaded: set[str] = set()
        self.waiting: set[str] = set()
        """Pools that the retry loop still has on its list."""
        for front in world.fronts.values():
            front.restarted()
        self.drivers: list[str] = []
        """Drivers that could be loaded at the start; not looked at again (D30)."""

    def ask(self, question: Callable[[], Reply]) -> Steps[Done | Failed]:
        """Put a question to the storage and wait for its answer, without end if need be (L31).

        Raises:
            PanicError: the answer brings incusd down (observed, s10).
        """
        while True:
            reply = question()
            if not isinstance(reply, Hangs):
                yield reply.took
                if isinstance(reply, Failed) and reply.panics:
                    raise PanicError(reply.text)
                return reply
            now, recheck = self._world.clock.now, self._world.timings.recheck
            yield recheck if reply.until is None else max(reply.until - now, _SHORTEST)

    def load_failure(self, pool: str) -> str | None:
        """Return why the pool's driver does not load now; success is kept for the life of the process (D32, D50, D51)."""
        if pool in self.loaded:
            return None
        failed = self._world.fronts[pool].load_driver()
        if failed is not None:
            return failed.text
        self.loaded.add(pool)
        return None

    def prepare(self, volume: IncusVolume) -> Steps[Refusal | None]:
        """Have one volume made available, opened and mounted."""
        front = self._world.fronts[volume.pool]
        reply = yield from self.ask(lambda: front.prepare_volume(volume))
        return Refusal(reply.text) if isinstance(reply, Failed) else None

    def first_pass(self) -> Steps[None]:
        """Initialise every pool, one after the other, in an order that nobody chose (D31)."""
        world = self._world
        world.journal.write(Level.INFO, "Initializing storage pools")
        found = {pool.driver for pool in world.server.pools if self.load_failure(pool.name) is None}
        self.drivers = sorted(found)
        names = list(world.fronts)
        world.random.shuffle(names)
        for name in names:
            if not (yield from self._initialise(name)):
                self.waiting.add(name)
        if not self.waiting:
            world.journal.write(Level.INFO, "All storage pools initialized")

    def retry_loop(self, start_instances: Callable[[], Steps[None]]) -> Steps[None]:
        """Try the remaining pools again and again; after a success ``start_instances`` (D35)."""
        world = self._world
        while self.waiting:
            yield world.timings.pool_retry
            has_new = False
            for name in sorted(self.waiting):
                if (yield from self._initialise(name)):
                    self.waiting.discard(name)
                    has_new = True
            if not self.waiting:
                world.journal.write(Level.INFO, "All storage pools initialized")
            if has_new:
                yield from start_instances()

    def validate(self, pool: str, *, is_ready: bool) -> Steps[Refusal | None]:
        """Mount a pool as ``recover/validate`` does (D61-D66): no warning resolved, no instance started.

        A pool that fails becomes Unavailable, also one that was healthy, and then nothing but another call or a restart of
        incusd repairs it (D64).
        """
        world = self._world
        if pool not in world.fronts:
            return Refusal("Storage pool not found", 404)
        at, was_unavailable = world.clock.now, pool in self.unavailable
        problem = self.load_failure(pool)
        refusal = None
        if problem is not None:
            refusal = Refusal(f'Failed loading existing pool "{pool}": {problem}')
        if refusal is None:
            reply = yield from self.ask(world.fronts[pool].mount_pool)
            if isinstance(reply, Failed):
                self.unavailable.add(pool)
                refusal = Refusal(f'Failed mounting pool "{pool}": {reply.text}')
        error = "" if refusal is None else refusal.text
        world.validations.append(
            Validation(
                at=at, pool=pool, was_unavailable=was_unavailable, was_ready=is_ready, error=error
            )
        )
        if refusal is not None:
            return refusal
        self.unavailable.discard(pool)
        reply = yield from self.ask(world.fronts[pool].list_volumes)
        if isinstance(reply, Failed):
            return Refusal(f'Failed checking volumes on pool "{pool}": {reply.text}')
        yield world.timings.validate
        for volume in world.unknown_volumes.get(pool, ()):
            if (yield from self.prepare(volume)) is None:
                world.mounted_unknown.append(volume)
        return None

    def _initialise(self, pool: str) -> Steps[bool]:
        world = self._world
        world.journal.write(Level.DEBUG, "Initializing storage pool", pool=pool)
        problem = self.load_failure(pool)
        if problem is not None:
            world.journal.write(Level.ERROR, "Failed loading storage pool", pool=pool, err=problem)
            return False
        reply = yield from self.ask(world.fronts[pool].mount_pool)
        if isinstance(reply, Done):
            self.unavailable.discard(pool)
            world.journal.write(Level.INFO, "Initialized storage pool", pool=pool)
            world.warnings.resolve(POOL_UNAVAILABLE, pool)
            return True
        self.unavailable.add(pool)
        world.journal.write(Level.ERROR, "Failed mounting storage pool", pool=pool, err=reply.text)
        world.warnings.upsert(POOL_UNAVAILABLE, pool, reply.text)
        return False
