# SPDX-License-Identifier: Apache-2.0
"""``tidegate health mute | unmute | list``: findings of which nobody wants to hear for a while."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import link, options

_EXAMPLES = """\
  tidegate health mute storage-pool.nearly-full --for 7d
  tidegate health mute volume.peer-absent volume/incus-volume-339abc8c/0
  tidegate health unmute volume.peer-absent
  tidegate health list

A muted finding stays visible, and counts in no grade, exit code or check. The mute ends by itself when it gets worse: a graver
grade, or one more subject. What the agent does it never changes.

exit codes: 0 done, 2 usage
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser("health", "Mute findings, end that, list what is muted.", _EXAMPLES)
    parser.add_argument("verb", choices=("mute", "unmute", "list"))
    parser.add_argument("code", nargs="?", metavar="CODE", help="as `tidegate status` shows it")
    parser.add_argument(
        "subject", nargs="?", metavar="SUBJECT", help="default: all that have the finding"
    )
    parser.add_argument(
        "--for",
        dest="length",
        type=options.seconds,
        metavar="T",
        help="with mute: how long; default: until it gets worse",
    )
    options.add_output_options(parser, ("text", "json"))
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if (chosen.verb == "list") == bool(chosen.code):
        parser.error("mute and unmute want a CODE; list wants none")
    request = {
        "op": "mutes" if chosen.verb == "list" else chosen.verb,
        "code": chosen.code,
        "subject": chosen.subject,
        "for": chosen.length,
        "format": chosen.format,
    }
    code, text = link.ask_or_look(chosen, request)
    (sys.stderr if code == 2 else sys.stdout).write(text)
    return code
