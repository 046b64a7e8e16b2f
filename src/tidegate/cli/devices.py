# SPDX-License-Identifier: Apache-2.0
"""``tidegate devices``: DRBD comes up from what the node kept, before satellite and controller."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.actuators.bringup import Result
    from tidegate.bringup.model import Step
    from tidegate.config.model import Config

_EXAMPLES = """\
  tidegate devices plan              what would be brought up now, what not, and why; changes nothing
  tidegate devices up                bring it up, as tidegate-devices.service does before the satellite
  tidegate devices up --all          not only what something that starts here needs
  tidegate devices verify            how what would be taken stands in DRBD
  tidegate devices enable            do it at every boot from the next one on; disable takes it back

exit codes: 0 all of it is up (plan: would be), 1 something failed or is not up, 2 usage or configuration,
            4 something is left to LINSTOR, or is up and not yet up to date or connected
"""
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_LEFT = 0, 1, 2, 4


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "Bring DRBD resources up from the files that LINSTOR keeps on this node, before satellite and controller run. It attaches and "
        "connects; it never promotes, forces, or writes metadata or LINSTOR's files, and leaves to LINSTOR what it is not sure of."
    )
    parser = options.parser("devices", description, _EXAMPLES)
    parser.add_argument(
        "verb",
        choices=("plan", "up", "verify", "enable", "disable"),
        metavar="plan|up|verify|enable|disable",
        help="show it, do it now, look how it stands, have it done at boot or no more",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="everything",
        help="every resource that LINSTOR left here, wanted or not",
    )
    parser.add_argument(
        "--limit",
        type=options.seconds,
        metavar="T",
        help="with up: when systemd is told to go on, at the latest; default 20s",
    )
    options.add_output_options(parser)
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    from tidegate.agent import setup
    from tidegate.config.model import Config

    limit = {} if chosen.limit is None else {"bringup.limit": chosen.limit}
    config = setup.load(overrides={**options.overrides(chosen), **limit}, config=chosen.config)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    act = {"plan": _plan, "up": _up, "verify": _verify}.get(chosen.verb, _at_boot)
    return act(chosen, config)


def _plan(chosen: argparse.Namespace, config: "Config") -> int:
    from tidegate.agent import bringing
    from tidegate.bringup.model import Left

    steps = bringing.plan(config, everything=chosen.everything)
    rows = [(name, *_said(step)) for name, step in steps.items()]
    _show(chosen, rows)
    left = [s for s in steps.values() if isinstance(s, Left) and s.code not in _FINE]
    return EXIT_LEFT if left else EXIT_OK


_NO_NEWS = frozenset({"bringup.not-wanted"})
_FINE = frozenset({"bringup.up", "bringup.not-wanted"})


def _said(step: "Step") -> tuple[str, str]:
    from tidegate.bringup.model import Activate, Examine, Left

    match step:
        case Left(code=code, why=why):
            return code, why
        case Activate(volumes=volumes):
            return "bringup.would-activate", f"would be activated first: {', '.join(volumes)}"
        case Examine():
            return "bringup.would", "would be brought up if its metadata fit"
        case _:
            return "bringup.would", "would be brought up"


def _up(chosen: argparse.Namespace, config: "Config") -> int:
    from tidegate.agent import bringing, setup
    from tidegate.clients.systemd import journal
    from tidegate.core.trouble import Trouble

    service = journal.is_read()
    if service:
        setup.log_to_journal(config)

    def told(result: "Result") -> None:
        if not service and chosen.format != "json" and result.code not in _NO_NEWS:
            sys.stdout.write(f"{result.resource}: {result.says}\n")
            sys.stdout.flush()

    results = bringing.up(config, everything=chosen.everything, told=told)
    if isinstance(results, Trouble):
        sys.stderr.write(f"tidegate: {results}\n")
        return EXIT_FAILED
    if chosen.format == "json":
        _show(chosen, [(each.resource, each.code, each.says) for each in results])
    codes = {each.code for each in results if not each.is_up} - _FINE
    if "bringup.failed" in codes:
        return EXIT_FAILED
    return EXIT_LEFT if codes else EXIT_OK


def _verify(chosen: argparse.Namespace, config: "Config") -> int:
    from tidegate.agent import bringing
    from tidegate.core.finding import Grade
    from tidegate.core.trouble import Trouble

    found = bringing.verify(config, everything=chosen.everything)
    if isinstance(found, Trouble):
        sys.stderr.write(f"tidegate: {found}\n")
        return EXIT_FAILED
    _show(chosen, [(each.resource, str(each.grade), each.says) for each in found])
    worst = max((each.grade for each in found), key=lambda grade: grade.badness, default=Grade.OK)
    return {Grade.OK: EXIT_OK, Grade.DEGRADED: EXIT_LEFT}.get(worst, EXIT_FAILED)


def _at_boot(chosen: argparse.Namespace, config: "Config") -> int:
    """Have the unit enabled, or disabled again."""
    import asyncio
    from pathlib import Path

    from tidegate.agent import unitchange
    from tidegate.clients import errors

    enabled = chosen.verb == "enable"
    try:
        done = asyncio.run(unitchange.set_devices(Path("/"), config, enabled=enabled))
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate: {error.trouble}\n")
        return EXIT_FAILED
    for trouble in done.refusals:
        sys.stderr.write(f"tidegate: {trouble}\n")
    if done.refusals:
        return EXIT_FAILED
    if not done.changed:
        sys.stdout.write(f"nothing to do: devices first is {chosen.verb}d\n")
    for path in done.paths:
        sys.stdout.write(f"{'written' if enabled else 'removed'}: {path}\n")
    return EXIT_OK


def _show(chosen: argparse.Namespace, rows: Sequence[tuple[str, str, str]]) -> None:
    if chosen.format == "json":
        import json

        found = [{"resource": name, "code": code, "text": text} for name, code, text in rows]
        sys.stdout.write(json.dumps({"resources": found}, indent=1) + "\n")
        return
    from tidegate.report import terminal

    if not rows:
        sys.stdout.write("nothing that starts here needs a resource of this node\n")
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, _, text in rows:
        sys.stdout.write(f"{terminal.harmless(name):<{width}}  {terminal.harmless(text)}\n")
