# SPDX-License-Identifier: Apache-2.0
"""A simulated node with the real agent against it, as a process of its own: what the contract tests drive and look at."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegate.cli import link
from tidegate.clients import clock
from tidegate.sim import embedded, faults
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import MemberSpec, ServerSpec, instance_id
from tidegate.sim.incus.warnings import AUTOSTART_FAILURE, WarningStatus

KILL = signal.SIGKILL
CONTAINERS = ("c1", "c2", "c3")
WITHIN = 45.0
"""Seconds after which a test gives up; on an idle machine everything here takes two or three."""
STEP = 0.02

QUICK = IncusTimings(
    socket_up=0.05,
    startup_check=0.1,
    activate=0.02,
    exec=0.02,
    listeners=0.02,
    instance_start=0.1,
    attempt_pause=0.2,
    waitready_poll=0.05,
    callhook_limit=1.0,
)
"""A quick Incus; its minute between two tries of a pool stays a minute: what is sooner was done by the agent."""

OFFLINE = FaultKind.NODE_OFFLINE
NO_DEVICES = FaultKind.DEVICE_MISSING


def until_moment(kind: FaultKind, end: float | None, **more: Any) -> Fault:
    """A fault that is there from the start."""
    return Fault(kind=kind, end=end, **more)


def node(
    directory: Path,
    *found: Fault,
    containers: Sequence[str] = CONTAINERS,
    local: Sequence[str] = ("d1",),
    stray: Sequence[str] = (),
    spec: Callable[[ServerSpec], ServerSpec] = lambda server: server,
    timings: IncusTimings = QUICK,
    storage: faults.Timings = faults.INSTANT,
    seed: int = 1,
) -> EmbeddedNode:
    """A node with these faults. ``stray``: volumes in LINSTOR that Incus's database does not know."""
    directory.mkdir(parents=True, exist_ok=True)
    scenario = faults.Scenario(
        name="contract",
        layout=embedded.layout((*containers, *stray)),
        faults=found,
        timings=storage,
        seed=seed,
    )
    server = spec(embedded.server(tuple(containers), tuple(local), epoch=clock.wall()))
    return EmbeddedNode(directory, scenario, server, timings)


def config_file(node: EmbeddedNode, more: Mapping[str, object] | None = None) -> Path:
    """Write the configuration that points an agent or a command at ``node``, and return its path."""
    keys = {**node.agent_options, "agent.poll_fast": 0.1, **(more or {})}
    sections: dict[str, list[str]] = {}
    for key, value in keys.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value)}")
    path = node.directory / "tidegate.toml"
    path.write_text("".join(f"[{s}]\n" + "\n".join(lines) + "\n" for s, lines in sections.items()))
    return path


class Agent:
    """A running ``tidegate agent``."""

    def __init__(self, process: asyncio.subprocess.Process, node: EmbeddedNode, log: Path) -> None:
        self.process = process
        self.socket = node.directory / "run" / "agent.sock"
        self._log = log

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    async def ask(self, **request: Any) -> list[dict[str, Any]]:
        """All answers to a request; an empty list while nobody answers."""

        def asked() -> list[dict[str, Any]]:
            try:
                return list(link.ask(self.socket, request))
            except link.NoAgent:
                return []

        return await asyncio.to_thread(asked)

    async def status(self) -> dict[str, Any]:
        """The status document; empty while nobody answers."""
        answers = await self.ask(op="status", format="json")
        found: dict[str, Any] = json.loads(answers[-1]["text"]) if answers else {}
        return found

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for the status until it is as wanted; returns it."""
        async with asyncio.timeout(WITHIN):
            while True:
                status = await self.status()
                if status and condition(status):
                    return status
                assert self.process.returncode is None, self.log
                await asyncio.sleep(STEP)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def agent(
    node: EmbeddedNode,
    *arguments: str,
    more: Mapping[str, object] | None = None,
    config: Path | None = None,
    inside: Sequence[str] = (),
) -> AsyncIterator[Agent]:
    """Run the agent against ``node``, ``inside`` another program if one is given; it is ended, whatever happened, in the end."""
    config = config or config_file(node, more)
    log = node.directory / "agent.log"
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *inside,
            *(sys.executable, "-m", "tidegate", "agent", "--config", str(config), *arguments),
            stdout=stream,
            stderr=stream,
        )
    running = Agent(process, node, log)
    try:
        yield running
    finally:
        if process.returncode is None:
            await running.end(signal.SIGKILL)


async def until(
    node: EmbeddedNode, condition: Callable[[], bool], *, within: float = WITHIN
) -> float:
    """Let the node live until ``condition`` holds; returns its seconds since boot."""
    async with asyncio.timeout(within):
        while True:
            now = node.now()
            if condition():
                return now
            await asyncio.sleep(STEP)


def running(node: EmbeddedNode) -> set[str]:
    """Names of the instances that run."""
    return {instance.name for instance in node.incus.world.running}


def starts(node: EmbeddedNode) -> list[str]:
    """Names of what came up, in order, each as often as it did."""
    return [record.instance.name for record in node.incus.world.starts]


def started_by_agent(node: EmbeddedNode) -> list[str]:
    """Names of what came up through Incus's API, in order."""
    return [r.instance.name for r in node.incus.world.starts if r.origin == "api"]


def subject(status: dict[str, Any], name: str) -> dict[str, Any]:
    """A subject of the status document; empty when it is not known."""
    return next((one for one in status["subjects"] if one["subject"] == name), {})


def codes(status: dict[str, Any], name: str | None = None) -> set[str]:
    """Codes of the findings (about one subject)."""
    return {f["code"] for f in status["findings"] if name in {None, f["subject"]}}


def stop(node: EmbeddedNode, name: str) -> None:
    """Stop an instance as a user would."""
    node.now()
    node.incus.change_state(instance_id(name), "stop", is_forced=True)


def names(status: dict[str, Any]) -> set[str]:
    """All subjects of the status document."""
    return {one["subject"] for one in status["subjects"]}


def given_up(node: EmbeddedNode, *, acknowledged: bool = True) -> set[str]:
    """Names of the instances that Incus warns about; without those whose warning somebody has acknowledged."""
    return {
        warning.entity_url.partition("?")[0].rpartition("/")[2]
        for warning in node.incus.warnings
        if warning.type == AUTOSTART_FAILURE
        and warning.status is not WarningStatus.RESOLVED
        and (acknowledged or warning.status is WarningStatus.NEW)
    }


def with_config(name: str, config: Mapping[str, str]) -> Callable[[ServerSpec], ServerSpec]:
    """Change one instance's configuration."""

    def changed(server: ServerSpec) -> ServerSpec:
        instances = tuple(
            msgspec.structs.replace(one, config={**one.config, **config})
            if one.name == name
            else one
            for one in server.instances
        )
        return msgspec.structs.replace(server, instances=instances)

    return changed


def member(status: str) -> Callable[[ServerSpec], ServerSpec]:
    """Make the server a cluster member of that status, with a second one that is well."""

    def changed(server: ServerSpec) -> ServerSpec:
        members = (MemberSpec(name=server.name, status=status), MemberSpec(name="n2"))
        return msgspec.structs.replace(server, members=members)

    return changed


def with_late_failures(name: str, count: int) -> Callable[[ServerSpec], ServerSpec]:
    """Have so many starts of an instance fail although its storage is there."""

    def changed(server: ServerSpec) -> ServerSpec:
        instances = tuple(
            msgspec.structs.replace(one, late_failures=count) if one.name == name else one
            for one in server.instances
        )
        return msgspec.structs.replace(server, instances=instances)

    return changed


def quick(**changes: float) -> IncusTimings:
    """:data:`QUICK` with other times."""
    return msgspec.structs.replace(QUICK, **changes)


def told(status: dict[str, Any]) -> str:
    """All that the status says in words."""
    findings = (f"{f['observed']} {f['remedy']}" for f in status["findings"])
    return " ".join([status["sentence"], *findings])


def is_starting(node: EmbeddedNode) -> bool:
    """A start through the API goes on."""
    daemon = node.incus.daemon
    return daemon is not None and any(not one.done.is_set for one in daemon.operations.all)


async def content(path: Path) -> dict[str, Any]:
    """What the JSON file ``path`` holds, as soon as it is there."""
    async with asyncio.timeout(WITHIN):
        while True:
            if await asyncio.to_thread(path.exists):
                found: dict[str, Any] = json.loads(await asyncio.to_thread(path.read_text))
                return found
            await asyncio.sleep(STEP)


def no_run_dir() -> dict[str, str]:
    """Variables for a command that finds the agent's socket through the configuration file alone."""
    return {"TIDEGATE_AGENT_RUN_DIR": "", "TIDEGATE_AGENT_STATE_DIR": ""}


async def _serve(directory: Path) -> None:
    late = node(directory, until_moment(FaultKind.NODE_OFFLINE, 2.0))
    async with late.running():
        sys.stdout.write(f"{config_file(late)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
