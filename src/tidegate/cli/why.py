# SPDX-License-Identifier: Apache-2.0
"""``tidegate why SUBJECT``: the chain of findings down to the first cause, and the remedy."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import link, options

_EXAMPLES = """\
  tidegate why instance/default/c1
  tidegate why pool/remote
  tidegate why volume/incus-volume-339abc8c70f044228fba06e7bfe8579e/0
  tidegate why satellite
  tidegate why satellite --from now.json     of what `tidegate status --save` wrote
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "Why a subject is not ready: what was seen, what it rests on, down to the first cause, and what to do. Subjects: host, "
        "controller, satellite, storage-pool/NAME, volume/RESOURCE/NUMBER, incus, pool/NAME, instance/[PROJECT/]NAME."
    )
    parser = options.parser("why", description, _EXAMPLES)
    parser.add_argument("subject", metavar="SUBJECT")
    parser.add_argument(
        "--from", dest="saved", metavar="FILE", help="of what `tidegate status --save` wrote"
    )
    options.add_output_options(parser, ("text", "json"))
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    request = {
        "op": "why",
        "subject": chosen.subject,
        "format": chosen.format,
        "color": options.wants_color(chosen.color),
        "width": options.screen_width(),
    }
    if chosen.saved:
        from tidegate.agent import offline

        overrides = options.overrides(chosen)
        code, text = offline.answer(
            request, chosen.saved, overrides=overrides, config=chosen.config
        )
    else:
        code, text = link.ask_or_look(chosen, request)
    (sys.stdout if code != 2 else sys.stderr).write(text)
    return code
