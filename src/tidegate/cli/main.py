# SPDX-License-Identifier: Apache-2.0
"""The door: which command was meant. Imports nothing of a command before it is called, and argparse only where needed."""

import importlib
import io
import os
import sys
from collections.abc import Sequence

from tidegate import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

COMMANDS = {
    "status": "how everything is, worst first, on one screen",
    "why": "why a subject is not ready: the chain down to the first cause, and what to do",
    "health": "mute findings nobody wants to hear of for a while; list what is muted",
    "wait": "wait until subjects are ready, with progress",
    "gate": "hold Incus at boot until the storage is proven ready; for tidegate-ready.service",
    "boot": "what happened at a boot and why: list, show, explain, compare, export",
    "stats": "how long boots take here: median, p95, worst, trend",
    "check": "a plugin for Nagios and Icinga, with perfdata",
    "agent": "the supervisor: recovers pools and instances the moment they can be",
    "pause": "have the agent act on nothing for a while",
    "resume": "end a pause: recovery goes on at once",
    "recover": "what recovery would do, in what order and why not now; or try one subject now",
    "guard": 'the proxy between Incus and LINSTOR: says "not ready" while that is the truth about this node',
    "units": "order the boot: plan, apply, verify or remove what systemd is told",
    "devices": "devices first: DRBD comes up from what the node kept, before the satellite",
    "tune": "what would make boots shorter: measured advice, applied, proven, taken back",
    "demo": "the race between boot and storage, without and with Tidegate, on this machine",
    "completion": "print a completion script for bash, zsh or fish",
}

EXIT_OK, EXIT_FAILING, EXIT_USAGE, EXIT_TIMEOUT, EXIT_DEGRADED, EXIT_UNKNOWN = range(6)
EXIT_INTERRUPTED = 130

_VERSION = f"tidegate {__version__}\n"
_EXAMPLES = """\
examples:
  tidegate status                        one screen
  tidegate why instance/default/c1       what this instance waits for
  tidegate wait --timeout 5min           until everything wanted here is ready
  tidegate demo                          see it work, no root needed

exit codes: 0 ok, 1 failing, 2 usage or configuration, 3 time-out, 4 degraded, 5 unknown
"""


def build_parser() -> "argparse.ArgumentParser":
    """Return the parser of what stands before the command's own options."""
    import argparse

    from tidegate.cli import options

    commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tidegate",
        description="Servers that run Incus on LINSTOR/DRBD come back from a reboot by themselves.",
        epilog=f"commands:\n{commands}\n\n`tidegate COMMAND --help` says more.\n\n{_EXAMPLES}",
        formatter_class=options.Help,
    )
    parser.add_argument("--version", action="version", version=_VERSION.strip())
    parser.add_argument(
        "command", choices=COMMANDS, metavar="COMMAND", help="what to do; see below"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named in ``argv`` (default: the process's own) and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(
                errors="replace"
            )  # a terminal of another alphabet gets a "?" for what it cannot show
    if words == ["--version"]:
        sys.stdout.write(_VERSION)
        return EXIT_OK
    if not words:
        build_parser().print_help()
        return EXIT_USAGE
    if words[0] not in COMMANDS:
        build_parser().parse_args(words)  # tells, and ends the process
        return EXIT_USAGE
    module = importlib.import_module(f"tidegate.cli.{words[0]}")
    try:
        code: int = module.run(words[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our pipe had enough, which is no fault
        sys.stderr.close()
        return EXIT_OK
    if argv is None:
        _forget_what_cannot_be_said()
        _leave_no_matter_what_hangs(code)
    return code


def _forget_what_cannot_be_said() -> None:
    """Drop words that a full disk did not take: Python would try once more at its end, and end with 120 whatever we said."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = None  # as where there is none from the start


def _leave_no_matter_what_hangs(code: int) -> None:
    """End the process here if threads are left: Python would wait for one that resolves a name for as long as that takes."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        if sys.stderr is not None:
            sys.stderr.flush()
        os._exit(code)
