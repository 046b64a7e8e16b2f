# SPDX-License-Identifier: Apache-2.0
"""``tidegate status``: one screen, worst first."""

import argparse
import sys
import time
from collections.abc import Sequence

from tidegate.cli import link, options

_EXAMPLES = """\
  tidegate status                     one screen
  tidegate status --watch             again every second, until Ctrl-C
  tidegate status --format json       for programs
"""
EXIT_USAGE = 2


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "status",
        "How everything is, worst first. Asks the agent; without one it looks itself.",
        _EXAMPLES,
    )
    options.add_output_options(parser)
    parser.add_argument(
        "--watch", action="store_true", help="show it again every --interval until Ctrl-C"
    )
    parser.add_argument(
        "--interval",
        type=options.seconds,
        default=1.0,
        metavar="T",
        help="with --watch; default 1s",
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    while True:
        code, text = _once(chosen)
        if code == EXIT_USAGE:
            sys.stderr.write(text)
            return code
        if chosen.watch and sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[2J")
        sys.stdout.write(text)
        sys.stdout.flush()
        if not chosen.watch:
            return code
        time.sleep(max(0.1, chosen.interval))


def _once(chosen: argparse.Namespace) -> tuple[int, str]:
    request = {
        "op": "status",
        "format": chosen.format,
        "color": options.wants_color(chosen.color),
        "width": options.screen_width(),
    }
    return link.ask_or_look(chosen, request)
