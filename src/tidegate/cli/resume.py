# SPDX-License-Identifier: Apache-2.0
"""``tidegate resume``: ends ``tidegate pause``."""

import argparse
from collections.abc import Sequence

from tidegate.cli import options, pause

_EXAMPLES = """\
  tidegate resume                     recovery goes on at once

exit codes: 0 done, 2 usage, or the agent observes only, 5 no agent answers
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser("resume", "End `tidegate pause`: recovery goes on at once.", _EXAMPLES)
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return pause.order(build_parser().parse_args(argv), {"op": "resume"}, "resume")
