# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the quick way to the agent's socket.

Standard library only, and of that only what is quick to import: a hook or a unit pays for it at every call. That is why paths are
texts here (pathlib costs 4 ms) and nothing is imported from typing.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.report.terminal import Terminal

DEFAULT_RUN_DIR = "/run/tidegate"
CONFIG_FILE = "/etc/tidegate/tidegate.toml"
CONFIG_DIRECTORY = "/etc/tidegate/conf.d"

_UNITS = {
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "ms": 0.001,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the screen; argparse's own way to find that out imports archivers."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(screen_width(), 100) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002  argparse's own signature
        """Break what runs over the edge; examples and lists, which are indented or short, stay as they are."""
        import textwrap

        return "\n".join(
            textwrap.fill(line, width) if len(line) > width and line[0] != " " else line
            for line in text.splitlines()
        )


def parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser for ``tidegate COMMAND`` with the usual look."""
    return argparse.ArgumentParser(
        prog=f"tidegate {command}",
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=Help,
    )


def add_host_options(to: argparse.ArgumentParser) -> None:
    """Add what says where things are on this host; each also by environment (TIDEGATE_…) or in a file."""
    group = to.add_argument_group("where things are (default: found on this host)")
    group.add_argument(
        "--config", metavar="FILE", help=f"configuration file (default {CONFIG_FILE})"
    )
    group.add_argument(
        "--controller", action="append", metavar="URL", help="LINSTOR controller; may be repeated"
    )
    group.add_argument("--node", metavar="NAME", help="this node, as LINSTOR names it")
    group.add_argument("--incus-socket", metavar="PATH", help="Incus's unix socket")
    group.add_argument("--state-dir", metavar="DIR", help="where the agent keeps what must last")
    group.add_argument(
        "--run-dir", metavar="DIR", help=f"where the agent's socket is (default {DEFAULT_RUN_DIR})"
    )


def add_output_options(
    to: argparse.ArgumentParser, formats: tuple[str, ...] = ("table", "json")
) -> None:
    """Add ``--format`` and ``--color``."""
    to.add_argument("--format", choices=formats, default=formats[0], help=f"default: {formats[0]}")
    to.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="default: auto"
    )


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """Return what the host options set, as configuration keys: ``{"incus.socket": "/x", …}``."""
    named = {
        "linstor.controllers": options.controller,
        "node.name": options.node,
        "incus.socket": options.incus_socket,
        "agent.state_dir": options.state_dir,
        "agent.run_dir": options.run_dir,
    }
    return {key: value for key, value in named.items() if value is not None}


def agent_socket(options: argparse.Namespace, env: Mapping[str, str] = os.environ) -> str:
    """Return where the agent's socket is: option, environment, file, default; reading a file only if it could matter."""
    chosen = (
        options.run_dir or env.get("TIDEGATE_AGENT_RUN_DIR") or _run_dir_of_files(options.config)
    )
    return f"{chosen or DEFAULT_RUN_DIR}/agent.sock"


def _run_dir_of_files(config: str | None) -> str | None:
    found = None
    for file in [config] if config else [CONFIG_FILE, *_drop_ins()]:
        try:
            with open(file, encoding="utf-8") as stream:  # noqa: PTH123  see the module's text
                text = stream.read()
        except (OSError, UnicodeDecodeError):
            continue  # said in full by the command itself, should it come to read its configuration
        if "run_dir" in text:
            found = _run_dir_of_text(text) or found
    return found


def _drop_ins() -> list[str]:
    try:
        names = sorted(os.listdir(CONFIG_DIRECTORY))  # noqa: PTH208  see the module's text
    except OSError:
        return []
    return [f"{CONFIG_DIRECTORY}/{name}" for name in names if name.endswith(".toml")]


def _run_dir_of_text(text: str) -> str | None:
    import tomllib

    try:
        value = tomllib.loads(text).get("agent", {}).get("run_dir")
    except (tomllib.TOMLDecodeError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def wants_color(choice: str, env: Mapping[str, str] = os.environ) -> bool:
    """Return whether to use colour: as told, else on a terminal that shows it, unless NO_COLOR is set."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and env.get("TERM") != "dumb" and not env.get("NO_COLOR")


def terminal(options: argparse.Namespace) -> "Terminal":
    """Return what the reader's screen can do; for commands that render by themselves."""
    from tidegate.report.terminal import Terminal

    return Terminal(width=screen_width(), color=wants_color(options.color))


def screen_width() -> int:
    """Return the columns of the terminal; 100 in a pipe."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 100


def screen_height() -> int:
    """Return the lines of the terminal; 24 in a pipe."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines
    except (OSError, ValueError):
        return 24


def seconds(text: str) -> float:
    """Read a length of time: ``90``, ``90s``, ``5min``, ``1h``, ``250ms``. For argparse: raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no length of time: write 90, 90s, 5min or 1h"
        )
    return float(match[1]) * _UNITS[match[2]]
