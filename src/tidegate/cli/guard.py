# SPDX-License-Identifier: Apache-2.0
"""``tidegate guard``: the proxy between Incus and the LINSTOR controllers, by hand or as its unit; and its switches."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import guardsetup, loading, options

TYPE_CHECKING = False

_EXAMPLES = (
    """\
  tidegate guard --listen 127.0.0.1:13370 --controller http://10.0.0.1:3370 --node n1    by hand, as any user
  tidegate guard run                            as the unit tidegate-guard.service runs it
"""
    + guardsetup.EXAMPLES
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the guard itself; the switches have their own."""
    description = (
        'Stand between this node\'s Incus and its LINSTOR controllers: pass everything on, and answer with "not ready" for as long as '
        "that is the truth about this node. Listens on the loopback only. By hand, only processes of the same user may ask."
    )
    parser = options.parser("guard", description, _EXAMPLES)
    parser.add_argument(
        "verb",
        nargs="?",
        choices=("run", *guardsetup.VERBS),
        metavar="run|" + "|".join(guardsetup.VERBS),
        help="as the unit; switch it on or off; see how it stands",
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where Incus asks; an address of the loopback"
    )
    parser.add_argument(
        "--socket", metavar="PATH", help="a unix socket for `GET /tidegate/v1/stats` as well"
    )
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    if any(word in guardsetup.VERBS for word in argv[:1]):
        return guardsetup.run(argv)
    if argv[:1] == ["run"]:
        _tell_systemd_at_once()
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if chosen.verb is None and not chosen.listen:
        parser.error("by hand, say where to listen: --listen 127.0.0.1:13370")
    with loading.lean():
        from tidegate.agent import guardservice, setup

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if isinstance(config, str):
        sys.stderr.write(config)
        return 2
    setup.log_to_journal(config)
    if chosen.verb == "run":
        return guardservice.run_unit(config)
    return guardservice.run_by_hand(config, chosen.listen, chosen.socket)


def _tell_systemd_at_once() -> None:
    """Say READY before anything of the guard is loaded, since its sockets take calls from the start (they wait for us there).

    ``incus.service`` is ordered after the unit, so that the guard outlives it at the stop; at the start it would otherwise wait 0.4 s for
    Python. What hangs from here on is the watchdog's, as later.
    """
    from tidegate.clients.systemd import notify

    notify.notify(notify.READY, notify.status("is loaded; calls wait in its socket"))
