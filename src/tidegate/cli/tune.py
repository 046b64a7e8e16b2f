# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune``: what would make this host's boots shorter, by how much, done, taken back, and proven."""

import argparse
import json
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.agent.tuning import Notes
    from tidegate.agent.unitchange import Changed
    from tidegate.config.model import Config
    from tidegate.tuning.facts import Boot, HostFacts
    from tidegate.tuning.result import Applied, Result

_EXAMPLES = """\
  tidegate tune                      advice for this host, the most seconds first; changes nothing
  tidegate tune --no-measure         without running any command that takes time
  tidegate tune --write-test DIR     measure small synced writes there too, in a file of our own that goes again
  tidegate tune apply jvm-flags      do it; it counts from the next boot on
  tidegate tune apply lvm-filter --by-hand    write nothing: you make the change yourself now, and result compares boots
  tidegate tune result jvm-flags     real boots before it against real boots after it
  tidegate tune revert jvm-flags     take every byte of it back

exit codes: 0 done, or nothing to advise, 1 refused or failed, 2 usage or configuration, 4 there is advice, 5 too early to say
"""
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_ADVICE, EXIT_UNKNOWN = 0, 1, 2, 4, 5
_COUNTS = "it counts from the next boot on; then: tidegate tune result\n"
_SWITCHES = {
    "--by-hand": "with apply: only note that you make the change yourself now, so that result can compare boots",
    "--when-calm": "with archive: wait until the boot is over, and nothing is resynchronised",
    "--no-measure": "run no command that takes time (java, pvdisplay, lvs, zfs list, …: seconds, read-only)",
}
_VERBS = ("list", "apply", "revert", "result", "archive")
_WITHOUT_ID = frozenset({"list", "archive"})


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
        choices=_VERBS,
        metavar="list|apply|revert|result|archive",
        help="default: list; archive makes the one that class-archive wants, which tidegate-archive.service does by itself",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="the advice's name, as the list has it")
    parser.add_argument(
        "--write-test",
        metavar="DIR",
        action="append",
        default=[],
        help="time small synced writes into a file of our own in DIR; once for each disk that is meant",
    )
    for name, what in _SWITCHES.items():
        parser.add_argument(name, action="store_true", help=what)
    options.add_output_options(parser)
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if (chosen.id is None) != (chosen.verb in _WITHOUT_ID):
        parser.error(
            "apply, revert and result take the ID of an advice, list and archive take none"
        )
    from tidegate.agent import setup
    from tidegate.clients import errors
    from tidegate.config.model import Config

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    verbs = {
        "list": _list,
        "apply": _apply,
        "revert": _revert,
        "result": _result,
        "archive": _archive,
    }
    try:
        return verbs[chosen.verb](chosen, config)
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate: {error.trouble}\n")
        return EXIT_REFUSED


def _list(chosen: argparse.Namespace, config: "Config") -> int:
    from tidegate.agent import tuning
    from tidegate.clients import clock
    from tidegate.report import tune
    from tidegate.report.terminal import Terminal
    from tidegate.tuning import host

    notes, began = tuning.settle(config, at=clock.wall()), clock.boottime()
    facts = _look(chosen, config, notes)
    if facts is None:
        return EXIT_REFUSED
    advised = host.advise(facts)
    page = tune.Page(
        advice=advised,
        own=host.own(facts),
        looked=host.looked(facts),
        in_force=_in_force(tuning.dated(config, notes), facts.boots),
        missing=host.missing(facts),
        judged=facts.satellite is not None
        and facts.phase("jvm") is not None
        and not facts.not_timed,
        cost=f"this look took {clock.boottime() - began:.1f} s and changed nothing",
    )
    if chosen.format == "json":
        sys.stdout.write(json.dumps(tune.document(page), indent=1) + "\n")
    else:
        terminal = Terminal(width=options.screen_width(), color=options.wants_color(chosen.color))
        sys.stdout.write(tune.render(page, terminal))
    return EXIT_ADVICE if advised else EXIT_OK


def _in_force(notes: "Notes", boots: "tuple[Boot, ...]") -> "tuple[tuple[Applied, Result], ...]":
    from tidegate.tuning import result

    force = [one for one in notes.applied if one.reverted is None]
    return tuple((one, result.compare(one, boots, notes.applied)) for one in force)


def _look(chosen: argparse.Namespace, config: "Config", notes: "Notes") -> "HostFacts | None":
    """Return the host's facts; None when that was refused, which is said."""
    import asyncio
    from pathlib import Path

    from tidegate.agent import tuneview
    from tidegate.core.trouble import Trouble

    asked = tuneview.Asked(
        measure=not chosen.no_measure, write_in=tuple(Path(one) for one in chosen.write_test)
    )
    try:
        found = asyncio.run(tuneview.look(config, asked, notes, tell=_tell))
    finally:
        _tell("")
    if isinstance(found, Trouble):
        sys.stderr.write(f"tidegate: {found}\n")
        return None
    return found


def _tell(what: str) -> None:
    """Say on a terminal what takes its time just now; "" takes that away again."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[Kmeasuring: {what[:60]}" if what else "\r\x1b[K")
        sys.stderr.flush()


def _apply(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    from tidegate.agent import tuning
    from tidegate.clients import clock
    from tidegate.tuning import host

    notes = tuning.settle(config, at=clock.wall())
    if chosen.id in notes.now():
        sys.stdout.write(f"nothing to do: {chosen.id} is applied\n")
        return EXIT_OK
    facts = _look(chosen, config, notes)
    if facts is None:
        return EXIT_REFUSED
    found = {one.id: one for one in host.advise(facts)}
    if chosen.id not in found:
        known = ", ".join(found) or "nothing"
        unjudged = f"; not all was judged: {facts.not_timed}" if facts.not_timed else ""
        sys.stderr.write(
            f"tidegate: {chosen.id} is not advised on this host (advised: {known}){unjudged}; see tidegate tune\n"
        )
        return EXIT_REFUSED
    wanted = found[chosen.id]
    if chosen.by_hand:
        tuning.note(config, wanted, at=clock.wall())
        change = "".join(f"  {line}\n" for line in wanted.change)
        sys.stdout.write(f"noted; make the change now:\n{change}{_COUNTS}")
        return EXIT_OK
    return _changed(asyncio.run(tuning.apply(config, wanted, facts, at=clock.wall())), "written")


def _revert(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    from tidegate.agent import tuning
    from tidegate.clients import clock

    if chosen.id not in tuning.settle(config, at=clock.wall()).now():
        sys.stderr.write(f"tidegate: {chosen.id} is not applied; see tidegate tune\n")
        return EXIT_REFUSED
    return _changed(asyncio.run(tuning.revert(config, chosen.id, at=clock.wall())), "changed back")


def _changed(done: "Changed", word: str) -> int:
    for trouble in done.refusals:
        sys.stderr.write(f"tidegate: {trouble}\n")
    if done.refusals:
        return EXIT_REFUSED
    for path in done.paths:
        sys.stdout.write(f"{word}: {path}\n")
    sys.stdout.write(_COUNTS)
    return EXIT_OK


def _result(chosen: argparse.Namespace, config: "Config") -> int:
    import msgspec

    from tidegate.agent import tuneview, tuning
    from tidegate.report import tune
    from tidegate.tuning import result

    notes = tuning.dated(config, tuning.load(config))
    applied = notes.last(chosen.id)
    if applied is None:
        sys.stderr.write(f"tidegate: {chosen.id} was never applied here; see tidegate tune\n")
        return EXIT_REFUSED
    boots = tuneview.boots(config)
    found = result.compare(applied, boots, notes.applied)
    whole = result.compare(applied, boots, notes.applied, phase=result.WHOLE)
    if chosen.format == "json":
        three = {"applied": applied, "result": found, "whole": whole}
        sys.stdout.write(json.dumps(msgspec.to_builtins(three), indent=1) + "\n")
    else:
        sys.stdout.write(tune.told(applied, found, whole))
    return EXIT_UNKNOWN if found.verdict is result.Verdict.TOO_EARLY else EXIT_OK


def _archive(chosen: argparse.Namespace, config: "Config") -> int:
    import asyncio

    from tidegate.agent import archiving, setup
    from tidegate.core.trouble import Trouble

    if chosen.when_calm:
        setup.log_to_journal(config)
    making = archiving.make_when_calm if chosen.when_calm else archiving.make
    done = asyncio.run(making(config))
    if isinstance(done, Trouble):
        sys.stderr.write(f"tidegate: {done}\n")
        return EXIT_REFUSED
    sys.stdout.write(f"{done}\n")
    return EXIT_OK
