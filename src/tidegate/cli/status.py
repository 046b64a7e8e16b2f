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
  tidegate status --save now.json     keep all that is known, to be judged elsewhere
  tidegate status --save now.json --mask
  tidegate status --from now.json     judge what somebody saved
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
    parser.add_argument("--save", metavar="FILE", help="write all that is known to FILE instead")
    parser.add_argument(
        "--mask", action="store_true", help="with --save: stand-ins for names and addresses"
    )
    parser.add_argument(
        "--from", dest="saved", metavar="FILE", help="judge what --save wrote, not this host"
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if (chosen.saved and (chosen.save or chosen.watch)) or (chosen.mask and not chosen.save):
        parser.error("--from goes with neither --save nor --watch, and --mask only with --save")
    if chosen.save:
        return _save(chosen)
    while True:
        code, text = _once(chosen)
        if code == EXIT_USAGE:
            sys.stderr.write(text)
            return code
        if chosen.watch and sys.stdout.isatty():
            text = "\x1b[H\x1b[2J" + _on_one_screen(text, options.screen_height())
        sys.stdout.write(text)
        sys.stdout.flush()
        if not chosen.watch:
            return code
        time.sleep(max(0.1, chosen.interval))


def _on_one_screen(text: str, height: int) -> str:
    """Return what of ``text`` fits on a screen of ``height`` lines: the worst comes first, and must not scroll away."""
    lines = text.splitlines()
    if len(lines) < height:
        return text
    shown = lines[: max(1, height - 2)]
    return "\n".join([*shown, f"  … {len(lines) - len(shown)} lines more: tidegate status"]) + "\n"


def _once(chosen: argparse.Namespace) -> tuple[int, str]:
    request = {
        "op": "status",
        "format": chosen.format,
        "color": options.wants_color(chosen.color),
        "width": options.screen_width(),
    }
    if chosen.saved:
        from tidegate.agent import offline

        overrides = options.overrides(chosen)
        return offline.answer(request, chosen.saved, overrides=overrides, config=chosen.config)
    return link.ask_or_look(chosen, request)


def _save(chosen: argparse.Namespace) -> int:
    code, text = link.ask_or_look(chosen, {"op": "snapshot", "format": "json"})
    if code == 0:
        from tidegate.agent import offline

        code, text = offline.save(text, chosen.save, masked=chosen.mask)
    (sys.stderr if code else sys.stdout).write(text)
    return code
