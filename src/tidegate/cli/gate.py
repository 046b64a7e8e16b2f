# SPDX-License-Identifier: Apache-2.0
"""``tidegate gate``: what ``tidegate-ready.service`` runs at boot, and Incus waits for."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from tidegate.cli import options

_EXAMPLES = """\
  tidegate gate                                 as the unit tidegate-ready.service runs it
  tidegate gate --limit 2min                    hold Incus for two minutes at most
  tidegate gate --policy fail-closed            hold it until all is ready, or a shutdown begins
"""
BEGAN = "began"
"""A file in the unit's runtime directory."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "Wait at boot until the storage that instances of this node need is proven ready, and say so by ending. It ends with 0 "
        "whatever happens, since Incus must not be held by trouble of ours: the journal says what was not ready. Never connects to Incus."
    )
    parser = options.parser("gate", description, _EXAMPLES)
    parser.add_argument(
        "--limit", type=options.seconds, metavar="T", help="the longest wait; default 5min"
    )
    parser.add_argument(
        "--cap",
        type=options.seconds,
        metavar="T",
        help="what the limit is cut to; default 9min; raise it only with the start time-out of incus-startup.service",
    )
    parser.add_argument(
        "--policy",
        choices=("fail-open", "fail-closed"),
        help="at the limit let Incus go (default), or hold it on",
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code. From a wrong option on it never lets an error of ours hold or fail the boot."""
    chosen = build_parser().parse_args(argv)
    try:
        code = _hold(chosen)
    except Exception:
        logging.getLogger("tidegate.gate").exception(
            "the gate failed in an unforeseen way, and lets Incus go: report this as a bug",
            extra={"TIDEGATE_EVENT": "verdict", "TIDEGATE_CODE": "gate.bug"},
        )
        code = 0
    logging.shutdown()
    sys.stderr.flush()
    # Not by returning: that would wait for threads that resolve names, and the boot with them.
    os._exit(code)


def _hold(chosen: argparse.Namespace) -> int:
    from tidegate.agent import gatekeeper, setup
    from tidegate.config.model import Config

    _leave_word()
    gate = {"gate.limit": chosen.limit, "gate.cap": chosen.cap, "gate.policy": chosen.policy}
    overrides = {
        **options.overrides(chosen),
        **{key: value for key, value in gate.items() if value is not None},
        "incus.use": "off",
    }
    loaded = setup.load(overrides=overrides, config=chosen.config)
    setup.log_to_journal(loaded if isinstance(loaded, Config) else Config())
    if not isinstance(loaded, Config):
        return gatekeeper.let_go_unconfigured(loaded)
    return gatekeeper.run(loaded)


def _leave_word() -> None:
    """Leave word that this boot had its gate: the unit's condition asks for it, lest a restart of Incus be held."""
    from pathlib import Path

    from tidegate.clients import errors, files

    place = os.environ.get("RUNTIME_DIRECTORY", "")
    if not place:
        return  # by hand, not as a unit
    try:
        files.write(Path(place) / BEGAN, b"", durable=False)
    except errors.ClientError as error:
        logging.getLogger("tidegate.gate").warning("%s", error.trouble)
