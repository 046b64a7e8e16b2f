# SPDX-License-Identifier: Apache-2.0
"""``tidegate check``: a plugin for Nagios, Icinga and whatever speaks their language."""

import argparse
import json
import sys
from collections.abc import Sequence

from tidegate.cli import link, options
from tidegate.report import nagios

_EXAMPLES = """\
  tidegate check                                  all that is wanted here
  tidegate check pool/remote instance/default/c1  these alone
  tidegate check -w 2min -c 10min                 down for less than two minutes is no alarm, a boot takes its time

exit codes (a plugin's, not those of the other commands): 0 OK, 1 WARNING (degraded), 2 CRITICAL (failing), 3 UNKNOWN
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "check",
        "Answer as a Nagios or Icinga plugin: one line, perfdata, details. Asks the agent; without one it looks itself.",
        _EXAMPLES,
    )
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help="judge these; default: all that is wanted"
    )
    parser.add_argument(
        "-w",
        "--warning",
        type=options.seconds,
        metavar="T",
        help="with -c: down for less than this is OK; default 0",
    )
    parser.add_argument(
        "-c",
        "--critical",
        type=options.seconds,
        metavar="T",
        help="down for less than this is a WARNING; default: CRITICAL at once",
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the plugin's exit code."""
    try:
        chosen = build_parser().parse_args(argv)
    except SystemExit as end:
        if end.code:
            return nagios.UNKNOWN  # 2 would be an alarm
        raise
    _code, text = link.ask_or_look(chosen, {"op": "status", "format": "json"})
    try:
        status = json.loads(text)
    except ValueError:
        code, text = nagios.trouble(text)
    else:
        code, text = nagios.answer(
            status,
            subjects=tuple(chosen.subjects),
            warn_down=chosen.warning,
            critical_down=chosen.critical,
        )
    sys.stdout.write(text)
    return code
