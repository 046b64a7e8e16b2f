# SPDX-License-Identifier: Apache-2.0
"""``tidegate wait``: block until subjects are ready, with live progress; for units and scripts."""

import argparse
import re
import sys
import time
from collections.abc import Sequence

from tidegate.cli import link, options

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs 2 ms
    from typing import Any

_EXAMPLES = """\
  tidegate wait                                   everything wanted on this node
  tidegate wait satellite --timeout 2min
  tidegate wait instance/default/c1 pool/remote
  tidegate wait api-online                        a LINSTOR controller answers
  tidegate wait satellite-online n2 --timeout 0   any node's satellite, on any machine

The last two ask the controller itself, and understand LINSTOR's own environment: LS_CONTROLLERS, LS_USERNAME, LS_PASSWORD,
LS_BEARER_TOKEN_FILE, LS_ROOT_CA, LS_USER_CERTIFICATE, LS_USER_KEY (also with _FILE). They do what linstor-wait-until does.

exit codes: 0 ready, 1 failing, 2 usage, 3 time-out, 4 ready and degraded, 5 unknown
"""
_REPEAT = 30.0
"""Seconds after which a pipe is told the same again."""
_LASTS = re.compile(r"\d+(?:\.\d+)? (?:s|min|h)\b")
EXIT_USAGE, EXIT_UNKNOWN = 2, 5
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
    if chosen.subjects[:1] in (["api-online"], ["satellite-online"]):
        return _linstor(chosen, progress)
    try:
        last = _asked(chosen, request, progress)
    except link.NoAgent as absence:
        from tidegate.agent import direct

        progress.show({"progress": f"{absence.reason}; looking without it"})
        last = direct.wait(
            request,
            overrides=options.overrides(chosen),
            config=chosen.config,
            show=progress.show,
        )
    progress.end()
    if last is None:
        sys.stderr.write(
            "tidegate wait: the agent went away while we waited; run the command again\n"
        )
        return EXIT_UNKNOWN
    return _said(chosen, last)


def _said(chosen: argparse.Namespace, last: dict[str, "Any"]) -> int:
    """Write the last answer, and return its exit code. What a program reads is on standard output, however it ended."""
    code = int(last["exit"])
    is_read = chosen.format == "json" and code != EXIT_USAGE
    (sys.stdout if code in {0, 4} or is_read else sys.stderr).write(str(last["text"]))
    return code


def _linstor(chosen: argparse.Namespace, progress: "_Progress") -> int:
    """Wait for what ``linstor-wait-until`` waits for."""
    what, *names = chosen.subjects
    if len(names) != (what == "satellite-online"):
        shape = "satellite-online NODE" if what == "satellite-online" else "api-online"
        sys.stderr.write(f"tidegate wait: write: tidegate wait {shape}\n")
        return EXIT_USAGE
    from tidegate.agent import waiting

    last = waiting.wait(
        what,
        names[0] if names else "",
        limit=chosen.timeout,
        as_json=chosen.format == "json",
        overrides=options.overrides(chosen),
        config=chosen.config,
        show=progress.show,
    )
    progress.end()
    return _said(chosen, last)


def _asked(
    chosen: argparse.Namespace, request: dict[str, "Any"], progress: "_Progress"
) -> dict[str, "Any"] | None:
    """Return the agent's last answer; None when it went away. Raises NoAgent when none answers at all."""
    answers = link.ask(options.agent_socket(chosen), request, silence=_HEARTBEAT)
    last = next(answers, None)
    if last is None:
        raise link.NoAgent("the agent closed without an answer")
    try:
        while last is not None and "exit" not in last:
            progress.show(last)
            last = next(answers, None)
    except link.NoAgent:
        return None
    return last


class _Progress:
    """One line that rewrites itself on a terminal; a line per change in a pipe."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._shown = ""
        self._again_at = 0.0

    def show(self, answer: dict[str, "Any"]) -> None:
        """Show an answer that is not the last one."""
        text = str(answer["progress"])
        if self._quiet or text == self._shown:
            return
        if self._live:
            self._shown = text
            sys.stderr.write(f"\r\x1b[K{text[: options.screen_width() - 1]}")
        elif self._is_news(text):
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _is_news(self, text: str) -> bool:
        """Return True when more than durations changed, or nothing was written for long: a log is no place for a clock."""
        now, bare = time.monotonic(), _LASTS.sub("", text)
        if bare == self._shown and now < self._again_at:
            return False
        self._shown, self._again_at = bare, now + _REPEAT
        return True

    def end(self) -> None:
        """Make room for the last answer."""
        if self._live and self._shown:
            sys.stderr.write("\r\x1b[K")
