# SPDX-License-Identifier: Apache-2.0
"""Operations of one incusd process: what the API does in the background (facts/incus.md 5.6)."""

from collections.abc import Callable

from tidegate.sim.incus.events import Events, timestamp
from tidegate.sim.incus.tasks import Signal, Steps, Tasks
from tidegate.sim.incus.values import Refusal
from tidegate.sim.incus.world import World

PENDING, RUNNING, SUCCESS, FAILURE = "Pending", "Running", "Success", "Failure"

_CODES = {PENDING: 105, RUNNING: 103, SUCCESS: 200, FAILURE: 400}


class Operation:
    """One operation. ``done`` is set when it has ended."""

    def __init__(self, world: World, description: str, resources: dict[str, list[str]]) -> None:
        self.id = world.new_uuid()
        self.description = description
        self.resources = resources
        self.created_at = world.server.epoch + world.clock.now
        self.status = PENDING
        self.err = ""
        self.done = Signal()
        self._location = world.server.location

    @property
    def body(self) -> dict[str, object]:
        """The operation as the API shows it (R51); ``updated_at`` stays what ``created_at`` is (R53)."""
        return {
            "id": self.id,
            "class": "task",
            "description": self.description,
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(self.created_at),
            "status": self.status,
            "status_code": _CODES[self.status],
            "resources": self.resources,
            "metadata": {},
            "may_cancel": False,
            "err": self.err,
            "location": self._location,
        }

    @property
    def begun(self) -> dict[str, object]:
        """The operation as it is shown to who began it: it runs, whatever becomes of it in the same moment (R50)."""
        return {**self.body, "status": RUNNING, "status_code": _CODES[RUNNING], "err": ""}


class Operations:
    """All operations; a finished one disappears after some seconds (R52)."""

    def __init__(self, world: World, tasks: Tasks, events: Events) -> None:
        self._world = world
        self._tasks = tasks
        self._events = events
        self._all: dict[str, Operation] = {}

    def get(self, operation_id: str) -> Operation | None:
        """Return the operation, None when there is none or no longer."""
        return self._all.get(operation_id)

    @property
    def all(self) -> list[Operation]:
        """Operations that can be seen now."""
        return list(self._all.values())

    def run(
        self,
        description: str,
        resources: dict[str, list[str]],
        project: str,
        work: Callable[[], Steps[Refusal | None]],
    ) -> Operation:
        """Begin ``work`` as an operation of ``project``; it fails with the refusal that ``work`` returns."""
        operation = Operation(self._world, description, resources)
        self._all[operation.id] = operation
        self._events.operation(operation.body, project)
        operation.status = RUNNING
        self._events.operation(operation.body, project)
        self._tasks.spawn(self._work(operation, project, work))
        return operation

    def _work(
        self, operation: Operation, project: str, work: Callable[[], Steps[Refusal | None]]
    ) -> Steps[None]:
        refusal = yield from work()
        operation.status = SUCCESS if refusal is None else FAILURE
        operation.err = "" if refusal is None else refusal.text
        self._events.operation(operation.body, project)
        operation.done.set()
        yield self._world.timings.operation_kept
        del self._all[operation.id]
