# SPDX-License-Identifier: Apache-2.0
"""The door: which command was meant. Imports nothing of a command before it is called."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from tidegate import __version__

COMMANDS = {
    "status": "how everything is, worst first, on one screen",
    "why": "why a subject is not ready: the chain down to the first cause, and what to do",
    "wait": "wait until subjects are ready, with progress",
    "gate": "hold Incus at boot until the storage is proven ready; for tidegate-ready.service",
    "agent": "the supervisor: recovers pools and instances the moment they can be",
    "demo": "the race between boot and storage, without and with Tidegate, on this machine",
    "completion": "print a completion script for bash, zsh or fish",
}

EXIT_OK, EXIT_FAILING, EXIT_USAGE, EXIT_TIMEOUT, EXIT_DEGRADED, EXIT_UNKNOWN = range(6)
EXIT_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  tidegate status                        one screen
  tidegate why instance/default/c1       what this instance waits for
  tidegate wait --timeout 5min           until everything wanted here is ready
  tidegate demo                          see it work, no root needed

exit codes: 0 ok, 1 failing, 2 usage or configuration, 3 time-out, 4 degraded, 5 unknown
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands before the command's own options."""
    commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tidegate",
        description="Servers that run Incus on LINSTOR/DRBD come back from a reboot by themselves.",
        epilog=f"commands:\n{commands}\n\n`tidegate COMMAND --help` says more.\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tidegate {__version__}")
    parser.add_argument(
        "command", choices=COMMANDS, metavar="COMMAND", help="what to do; see below"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named in ``argv`` (default: the process's own) and return its exit code."""
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help()
        return EXIT_USAGE
    options = parser.parse_args(argv)
    module = importlib.import_module(f"tidegate.cli.{options.command}")
    try:
        code: int = module.run(options.arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our pipe had enough, which is no fault
        sys.stderr.close()
        return EXIT_OK
    return code
