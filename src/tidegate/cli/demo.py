# SPDX-License-Identifier: Apache-2.0
"""``tidegate demo``: the race between boot and storage, side by side, on the embedded simulator."""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.cli import link, options

if TYPE_CHECKING:
    from tidegate.report.terminal import Terminal
    from tidegate.sim.embedded import EmbeddedNode
    from tidegate.sim.race import Act, Race

_EXAMPLES = """\
  tidegate demo                     watch it (about 12 seconds)
  tidegate demo --seed 7            another order of chance
  tidegate demo --keep /tmp/demo    keep the simulated nodes' directories
"""
_FRAME = 0.1
_AGENT_WITHIN = 10.0
EXIT_USAGE = 2
_LONGEST = 60
"""Characters: a unix socket's whole path may have 107."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "Boot a simulated node twice under the same fault, without and with Tidegate. The agent is the real one, with its real "
        "clients, over real sockets; Incus's and LINSTOR's own waits are scaled down. Needs no root and touches nothing of this host."
    )
    parser = options.parser("demo", description, _EXAMPLES)
    parser.add_argument("--seed", type=int, default=1, help="of the simulator's chance; default 1")
    parser.add_argument("--keep", metavar="DIR", help="put the simulated nodes there and keep them")
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="default: auto"
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    with contextlib.ExitStack() as stack:
        try:
            directory = _directory(chosen.keep, stack)
        except OSError as error:
            sys.stderr.write(
                f"tidegate demo: no directory can be made at {error.filename or tempfile.gettempdir()}: "
                f"{error.strerror or error}; give another one with --keep\n"
            )
            return EXIT_USAGE
        if len(str(directory.resolve())) > _LONGEST:
            sys.stderr.write(
                f"tidegate demo: the path of {directory} is longer than {_LONGEST} characters, too long for the sockets in it; "
                "give a shorter one with --keep\n"
            )
            return EXIT_USAGE
        return asyncio.run(_race(chosen, directory))


def _directory(keep: str | None, stack: contextlib.ExitStack) -> Path:
    """Return where the simulated nodes are put: what is to be kept, or what is gone when ``stack`` is left."""
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-")))
    directory = Path(keep)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


async def _race(chosen: argparse.Namespace, directory: Path) -> int:
    from tidegate.report.terminal import Terminal
    from tidegate.sim import race

    terminal = Terminal(width=options.screen_width(), color=options.wants_color(chosen.color))
    sys.stdout.write(_preamble(chosen.seed, terminal))
    sys.stdout.flush()  # in a pipe, too: there nothing more comes for some seconds
    async with contextlib.AsyncExitStack() as stack:
        acts = [_act(act, directory / act.key, chosen.seed) for act in race.ACTS]
        races = [await stack.enter_async_context(act) for act in acts]
        screen = _Screen(live=sys.stdout.isatty())
        while not all(one.over for one in races):
            screen.show(_frame(races, terminal))
            await asyncio.sleep(_FRAME)
        screen.end(_frame(races, terminal))
    sys.stdout.write("\n" + "\n".join(race.summary(races, terminal)) + "\n\n")
    return 0 if race.nothing_lost(races) else 1


def _preamble(seed: int, terminal: "Terminal") -> str:
    from tidegate.sim import race

    said = (
        f"Two simulated nodes per fault, booted at the same moment, seed {seed}. Waits of Incus and LINSTOR are 1/{race.SCALE} of "
        f"the real ones (Incus's minute is {60 / race.SCALE:.0f} s here); the agent runs at its own pace. c1–c3 lie on LINSTOR, d1 does not."
    )
    return f"{terminal.wrap(said, indent=0)}\n\n"


def _frame(races: Sequence["Race"], terminal: "Terminal") -> list[str]:
    from tidegate.sim import race

    lines: list[str] = []
    for one in races:
        one.look()
        lines += [*race.render(one, terminal), ""]
    return lines[:-1]


@contextlib.asynccontextmanager
async def _act(act: "Act", directory: Path, seed: int) -> AsyncIterator["Race"]:
    """Boot both nodes of an act, the second with an agent that is already up, as its unit would be."""
    from tidegate.sim import race

    nodes = [_node(act, directory / name, seed) for name in ("without", "with")]
    side = [
        race.Side(
            title=title,
            incus=node.incus,
            now=node.now,
            storage_ready=node.storage_ready,
            lanes=race.new_lanes(),
        )
        for title, node in zip(("without Tidegate", "with Tidegate"), nodes, strict=True)
    ]
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node.running())
        await stack.enter_async_context(_agent(nodes[1], side[1]))
        yield race.Race(act=act, sides=(side[0], side[1]))


def _node(act: "Act", directory: Path, seed: int) -> "EmbeddedNode":
    from tidegate.clients import clock
    from tidegate.sim import embedded, faults, race
    from tidegate.sim.incus.timings import IncusTimings

    directory.mkdir(parents=True, exist_ok=True)
    scenario = faults.Scenario(
        name=act.key,
        layout=embedded.layout(race.CONTAINERS),
        faults=(act.fault,),
        timings=race.scaled(faults.TYPICAL),
        seed=seed,
    )
    spec = embedded.server(race.CONTAINERS, race.LOCAL, epoch=clock.wall())
    return embedded.EmbeddedNode(directory, scenario, spec, IncusTimings().scaled(1 / race.SCALE))


@contextlib.asynccontextmanager
async def _agent(node: "EmbeddedNode", side: object) -> AsyncIterator[None]:
    """Run the real agent against ``node`` as a process of its own, and fetch its sentence now and then."""
    config = node.directory / "tidegate.toml"
    config.write_text(_toml(node.agent_options), encoding="utf-8")
    with (node.directory / "agent.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tidegate",
            "agent",
            "--config",
            str(config),
            stdout=log,
            stderr=log,
        )
        listener = asyncio.ensure_future(_listen(node.directory / "run" / "agent.sock", side))
        try:
            yield
        finally:
            listener.cancel()
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_AGENT_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _listen(path: Path, side: object) -> None:
    while True:
        side.sentence = await asyncio.to_thread(_sentence, path)  # type: ignore[attr-defined]
        await asyncio.sleep(2 * _FRAME)


def _sentence(path: Path) -> str:
    try:
        for answer in link.ask(path, {"op": "status", "format": "json"}):
            return str(json.loads(answer["text"])["sentence"])
    except (link.NoAgent, KeyError, ValueError):
        pass
    return ""


def _toml(keys: Mapping[str, object]) -> str:
    """Write ``{"section.name": value}`` as TOML; JSON's strings, numbers and lists are TOML's, too."""
    sections: dict[str, list[str]] = {}
    for key, value in keys.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value)}")
    return "".join(
        f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()
    )


class _Screen:
    """Shows frames in place on a terminal, as much as fits on it; in a pipe only the last one."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._lines = 0

    def show(self, lines: Sequence[str]) -> None:
        """Show ``lines`` in place of the frame before."""
        if self._live:
            self._draw(lines[: options.screen_height() - 1])

    def _draw(self, lines: Sequence[str]) -> None:
        back = f"\x1b[{self._lines}F" if self._lines else ""
        sys.stdout.write(back + "".join(f"\x1b[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self._lines = len(lines)

    def end(self, lines: Sequence[str]) -> None:
        """Show the last frame."""
        if self._live:
            self._draw(lines)
        else:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
