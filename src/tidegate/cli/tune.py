# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune``: what would make this host's boots shorter, by how much, done, taken back, and proven."""

import argparse
import json
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.agent.unitchange import Changed
    from tidegate.config.model import Config
    from tidegate.tuning.result import Applied, Result, Spread

_EXAMPLES = """\
  tidegate tune                      advice for this host, the most seconds first; changes nothing
  tidegate tune --no-measure         without timing any command
  tidegate tune apply jvm-flags      do it; it counts from the next boot on
  tidegate tune result jvm-flags     real boots before it against real boots after it
  tidegate tune revert jvm-flags     take every byte of it back

exit codes: 0 done, or nothing to advise, 1 refused or failed, 2 usage or configuration, 4 there is advice, 5 too early to say
"""
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_ADVICE, EXIT_UNKNOWN = 0, 1, 2, 4, 5


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "What makes this host's boots long, and what would make them shorter: each change with the seconds it is expected to gain and "
        "where that figure comes from, its risk, and how to undo it. What can gain nothing here is not advised."
    )
    parser = options.parser("tune", description, _EXAMPLES)
    parser.add_argument(
        "verb",
        nargs="?",
        default="list",
        choices=("list", "apply", "revert", "result"),
        metavar="list|apply|revert|result",
        help="default: list",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="the advice's name, as the list has it")
    parser.add_argument(
        "--no-measure", action="store_true", help="time no command (lvs, zfs list: seconds)"
    )
    options.add_output_options(parser)
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if (chosen.id is None) != (chosen.verb == "list"):
        parser.error("apply, revert and result take the ID of an advice, list takes none")
    from tidegate.agent import setup
    from tidegate.clients import errors
    from tidegate.config.model import Config

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    verbs = {"list": _list, "apply": _apply, "revert": _revert, "result": _result}
    try:
        return verbs[chosen.verb](chosen, config)
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate: {error.trouble}\n")
        return EXIT_REFUSED


def _list(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    import msgspec

    from tidegate.agent import tuneview, tuning
    from tidegate.report import tune
    from tidegate.report.terminal import Terminal
    from tidegate.tuning import advice

    applied = tuning.load(config).now()
    measure = not chosen.no_measure
    facts = asyncio.run(tuneview.look(config, measure=measure, applied=applied))
    advised = [msgspec.to_builtins(one) for one in advice.advise(facts)]
    missing, own = advice.missing(facts), advice.shares(facts)
    if chosen.format == "json":
        found = {
            "advice": advised,
            "not_judged": missing,
            "own_seconds": own,
            "applied": sorted(applied),
        }
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        terminal = Terminal(width=options.screen_width(), color=options.wants_color(chosen.color))
        sys.stdout.write(tune.render(advised, missing, own, terminal))
    return EXIT_ADVICE if advised else EXIT_OK


def _apply(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    from tidegate.agent import tuneview, tuning
    from tidegate.clients import clock
    from tidegate.tuning import advice

    applied = tuning.load(config).now()
    facts = asyncio.run(tuneview.look(config, measure=not chosen.no_measure, applied=applied))
    found = {one.id: one for one in advice.advise(facts)}
    if chosen.id in applied:
        sys.stdout.write(f"nothing to do: {chosen.id} is applied\n")
        return EXIT_OK
    if chosen.id not in found:
        known = ", ".join(found) or "nothing"
        sys.stderr.write(
            f"tidegate: {chosen.id} is not advised on this host (advised: {known}); see tidegate tune\n"
        )
        return EXIT_REFUSED
    wanted = found[chosen.id]
    return _changed(asyncio.run(tuning.apply(config, wanted, facts, at=clock.wall())), "written")


def _revert(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    from tidegate.agent import tuning
    from tidegate.clients import clock

    if chosen.id not in tuning.load(config).now():
        sys.stderr.write(f"tidegate: {chosen.id} is not applied; see tidegate tune\n")
        return EXIT_REFUSED
    return _changed(asyncio.run(tuning.revert(config, chosen.id, at=clock.wall())), "removed")


def _changed(done: "Changed", word: str) -> int:
    for trouble in done.refusals:
        sys.stderr.write(f"tidegate: {trouble}\n")
    if done.refusals:
        return EXIT_REFUSED
    for path in done.paths:
        sys.stdout.write(f"{word}: {path}\n")
    sys.stdout.write("it counts from the next boot on; then: tidegate tune result\n")
    return EXIT_OK


def _result(chosen: argparse.Namespace, config: "Config") -> int:
    import msgspec

    from tidegate.agent import tuneview, tuning
    from tidegate.tuning import result

    applied = tuning.load(config).last(chosen.id)
    if applied is None:
        sys.stderr.write(f"tidegate: {chosen.id} was never applied here; see tidegate tune\n")
        return EXIT_REFUSED
    found = result.compare(applied, tuneview.boots(config))
    if chosen.format == "json":
        both = {"applied": msgspec.to_builtins(applied), "result": msgspec.to_builtins(found)}
        sys.stdout.write(json.dumps(both, indent=1) + "\n")
    else:
        sys.stdout.write(_said(applied, found))
    return EXIT_UNKNOWN if found.verdict is result.Verdict.TOO_EARLY else EXIT_OK


def _said(applied: "Applied", found: "Result") -> str:
    lines = [f"{applied.id}: {found.verdict}"]
    if found.before is not None and found.after is not None:
        lines[0] += f" ({found.gain:+.1f} s gained, {applied.expected:.1f} s expected)"
    lines += [f"  before  {_spread(found.before)}", f"  after   {_spread(found.after)}"]
    return "\n".join(lines) + "\n"


def _spread(spread: "Spread | None") -> str:
    if spread is None:
        return "no recorded boot"
    boots = "boot" if spread.count == 1 else "boots"
    return f"{spread.median:.1f} s, median of {spread.count} {boots} ({spread.least:.1f} to {spread.most:.1f})"
