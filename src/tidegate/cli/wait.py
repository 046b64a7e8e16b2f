# SPDX-License-Identifier: Apache-2.0
"""``tidegate wait``: block until subjects are ready, with live progress; for units and scripts."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tidegate.cli import link, options

_EXAMPLES = """\
  tidegate wait                                   everything wanted on this node
  tidegate wait satellite --timeout 2min
  tidegate wait instance/default/c1 pool/remote
"""
_HEARTBEAT = 15.0
"""Seconds after which an agent that waits with us and says nothing is taken for stuck; it speaks at least every 5."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = "Wait until every SUBJECT is ready (default: what is wanted on this node). Progress goes to standard error."
    parser = options.parser("wait", description, _EXAMPLES)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="see `tidegate why --help`")
    parser.add_argument(
        "--timeout",
        type=options.seconds,
        default=300.0,
        metavar="T",
        help="default 5min; 0 = look once",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options.add_output_options(parser, ("text", "json"))
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    request = {
        "op": "wait",
        "subjects": chosen.subjects,
        "timeout": chosen.timeout,
        "format": chosen.format,
        "color": options.wants_color(chosen.color),
        "width": options.screen_width(),
    }
    progress = _Progress(quiet=chosen.quiet)
    for answer in _answers(chosen, request):
        if "exit" in answer:
            progress.end()
            code = int(answer["exit"])
            (sys.stdout if code in {0, 4} else sys.stderr).write(str(answer["text"]))
            return code
        progress.show(str(answer["progress"]))
    progress.end()
    sys.stderr.write("tidegate wait: the agent went away while we waited; run the command again\n")
    return 5


def _answers(chosen: argparse.Namespace, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    asked = link.ask(options.agent_socket(chosen), request, silence=_HEARTBEAT)
    try:
        first = next(asked, None)
    except link.NoAgent as absence:
        from tidegate.agent import direct

        yield from direct.wait(
            request,
            overrides=options.overrides(chosen),
            config=chosen.config,
            reason=absence.reason,
        )
        return
    if first is not None:
        yield first
    try:
        yield from asked
    except link.NoAgent:
        return


class _Progress:
    """One line that rewrites itself on a terminal; a line per change in a pipe."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if self._quiet or text == self._shown:
            return
        self._shown = text
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text[: options.screen_width() - 1]}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._live and self._shown:
            sys.stderr.write("\r\x1b[K")
