# SPDX-License-Identifier: Apache-2.0
"""``tidegate recover plan|now``: what recovery would do, in what order and why not now; and one subject at once."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import link, options, pause

_EXAMPLES = """\
  tidegate recover plan                               what would be done, in what order, and why not now
  tidegate recover now instance/default/c1            end its wait, give it another chance
  tidegate recover now pool/remote --dry-run          what that would do; does nothing
  tidegate recover now satellite                      dial it anew, if that may help and is still allowed

"now" ends waits and forgets failures; it leaves out no condition: nothing is started before its storage is ready.

exit codes of plan: 0, or 5 where nothing can be seen
exit codes of now: 0 it is done or being done, 1 not now (it says why), 2 usage or configuration, 5 no agent answers
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "recover",
        "What recovery would do now and why it does not do the rest; or have it try one subject at once.",
        _EXAMPLES,
    )
    parser.add_argument(
        "verb",
        choices=("plan", "now"),
        metavar="plan|now",
        help="show everything, or try one subject",
    )
    parser.add_argument(
        "subject",
        nargs="?",
        metavar="SUBJECT",
        help="with now: instance/…, pool/…, satellite or incus",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with now: only say what it would do"
    )
    options.add_output_options(parser)
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if (chosen.verb == "now") != (chosen.subject is not None):
        parser.error("`recover now` takes one SUBJECT, `recover plan` none")
    look = {
        "format": chosen.format,
        "color": options.wants_color(chosen.color),
        "width": options.screen_width(),
    }
    if chosen.verb == "plan":
        code, text = link.ask_or_look(chosen, {"op": "plan", **look})
        (sys.stderr if code == 2 else sys.stdout).write(text)
        return code
    request = {"op": "recover", "subject": chosen.subject, "dry_run": chosen.dry_run, **look}
    if not chosen.dry_run:
        return pause.order(chosen, request, "recover")
    code, text = link.ask_or_look(chosen, request)
    (sys.stderr if code == 2 else sys.stdout).write(text)
    return code
