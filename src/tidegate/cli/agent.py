# SPDX-License-Identifier: Apache-2.0
"""``tidegate agent``: the supervisor, in the foreground."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import loading, options

_EXAMPLES = """\
  tidegate agent                                        as the unit tidegate-agent.service runs it
  tidegate agent --observe                              judge and tell, act on nothing
  tidegate agent --run-dir /tmp/tg --state-dir /tmp/tg  by hand, as any user who may read the sockets
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "agent",
        "Watch this node's storage, and bring pools and instances back the moment they can be.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--observe", action="store_true", help="only observe and judge; act on nothing"
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    from tidegate.agent import setup

    loaded = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if isinstance(loaded, str):
        sys.stderr.write(loaded)
        return 2
    with loading.lean():
        from tidegate.agent import service

    setup.log_to_journal(loaded)
    return service.run(loaded, act=not chosen.observe)
