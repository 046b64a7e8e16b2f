# SPDX-License-Identifier: Apache-2.0
"""``tidegate pause`` and ``tidegate resume``: recovery does nothing for a while, because a person works on the node."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import link, options

_EXAMPLES = """\
  tidegate pause --for 30min          nothing is started or mounted for half an hour
  tidegate pause                      until: tidegate resume, or the next boot
  tidegate resume                     go on at once

exit codes: 0 done, 2 usage, or the agent observes only, 5 no agent answers
"""
EXIT_UNKNOWN = 5


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "pause",
        "Have the agent act on nothing for a while. It goes on observing, judging and telling; what is on its way goes on.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--for",
        dest="length",
        type=options.seconds,
        metavar="T",
        help="how long; default: until `tidegate resume`, or the next boot",
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    return order(chosen, {"op": "pause", "for": chosen.length}, "pause")


def order(chosen: argparse.Namespace, request: dict[str, object], command: str) -> int:
    """Have the agent do what ``request`` says; nobody else can. Returns the exit code."""
    try:
        answer = next(link.ask(options.agent_socket(chosen), request, within=_WITHIN), None)
        if answer is None:
            raise link.NoAgent("the agent closed without an answer")
    except link.NoAgent as absence:
        sys.stderr.write(
            f"tidegate {command}: {absence.reason}; without an agent nothing recovers by itself\n"
        )
        return EXIT_UNKNOWN
    code = int(answer["exit"])
    (sys.stderr if code == 2 else sys.stdout).write(str(answer["text"]))
    return code


_WITHIN = 5.0
"""Seconds for the answer, which comes with the agent's next cycle."""
