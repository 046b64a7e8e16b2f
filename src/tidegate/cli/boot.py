# SPDX-License-Identifier: Apache-2.0
"""``tidegate boot list|show|explain|compare|export``: what happened at a boot, in which order, and what the first cause was."""

import argparse
import json
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tidegate.boot.model import Hints
    from tidegate.cli.boot_source import Source

_EXAMPLES = """\
  tidegate boot show                              this boot, on one page
  tidegate boot show -b -1                        the one before
  tidegate boot explain -b -1                     every cause with all its lines
  tidegate boot show --format html > boot.html    for a browser: a time line that zooms
  tidegate boot list                              the boots that the journal knows, with verdicts
  tidegate boot compare -1 0                      what was different
  tidegate boot export -b -1 --mask               a bundle for a bug report, without names and addresses
  tidegate boot show --file boot.json.gz          from `journalctl -b -o json`, an export, a log or a bundle
  tidegate boot show --directory /mnt/var/log     journals and logs of another machine

exit codes of show and explain: 0 nothing wrong, 1 something stayed down, 4 late or still coming up, 5 undecided; 2 usage
"""
VERBS = ("list", "show", "explain", "compare", "export")
EXIT_USAGE, EXIT_UNKNOWN = 2, 5
EXIT_OF_GRADE = {"ok": 0, "failing": 1, "degraded": 4, "unknown": EXIT_UNKNOWN}


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "boot",
        "What happened at a boot, in which order, what the first cause was, and the lines that prove it. Works from the journal alone, "
        "on a host that had no agent, and on another machine from a file.",
        _EXAMPLES,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=", ".join(VERBS))
    parser.add_argument(
        "boots", nargs="*", metavar="BOOT", help="compare: the two boots, default -1 and 0"
    )
    parser.add_argument(
        "-b",
        "--boot",
        default="0",
        metavar="BOOT",
        help="which: 0 the newest (default), -1 the one before, 1 the oldest, or (the beginning of) its id",
    )
    parser.add_argument(
        "--file",
        action="append",
        metavar="FILE",
        help="read this instead of the journal; may be repeated",
    )
    parser.add_argument("--directory", metavar="DIR", help="read all journals and logs below DIR")
    parser.add_argument(
        "--boots",
        dest="most",
        type=_count,
        default=10,
        metavar="N",
        help="list: so many; default 10",
    )
    parser.add_argument(
        "--mask", action="store_true", help="export: without names, addresses and secrets"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="export: where to; default ./tidegate-boot-….tar.gz"
    )
    options.add_output_options(parser, ("text", "json", "html", "svg"))
    options.add_host_options(parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of boots: write 1 to 1000")
    return int(text)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if chosen.boots and chosen.verb != "compare":
        parser.error(f"{chosen.verb} takes its boot as -b {chosen.boots[0]}")
    if len(chosen.boots) not in {0, 2}:
        parser.error("compare takes two boots, the earlier first")
    if chosen.format in {"html", "svg"} and chosen.verb not in {"show", "explain"}:
        parser.error(f"--format {chosen.format} is for show and explain")
    from tidegate.cli import boot_source
    from tidegate.clients import errors

    act = {"list": _list, "compare": _compare, "export": _export}.get(chosen.verb, _show)
    try:
        return act(chosen, _source(chosen))
    except boot_source.Unknown as unknown:
        sys.stderr.write(f"tidegate boot: {unknown}\n")
        return EXIT_UNKNOWN
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate boot: {error.trouble}\n")
        return 1


def _source(chosen: argparse.Namespace) -> "Source":
    from pathlib import Path

    from tidegate.cli import boot_source

    paths = [*(chosen.file or ()), *([chosen.directory] if chosen.directory else ())]
    if paths:
        return boot_source.Files(tuple(map(Path, paths)))
    return boot_source.Machine(_own_hints(chosen))


def _own_hints(chosen: argparse.Namespace) -> "Hints":
    """Return what the agent's map of this host tells: which instances there are, and on which pools."""
    from pathlib import Path

    from tidegate.agent import setup
    from tidegate.agent.keeper import Keeper
    from tidegate.boot.model import Hints
    from tidegate.config.model import Config

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if not isinstance(config, Config):
        return Hints()
    wanted, _trouble = Keeper(Path(config.agent.state_dir)).load()
    if wanted is None:
        return Hints()
    on_linstor = {pool.name for pool in wanted.pools}
    return Hints(
        node=wanted.node,
        instances={str(one.id): str(one.pools[0]) for one in wanted.instances if one.pools},
        volumes={
            str(one.id): str(one.volumes[0].resource) for one in wanted.instances if one.volumes
        },
        linstor_pools=tuple(sorted(on_linstor)),
    )


def _list(chosen: argparse.Namespace, source: "Source") -> int:
    from tidegate.report import boot_json, boot_text

    rows = source.newest(chosen.most)
    if chosen.format == "json":
        _json([boot_json.row(number, boot) for number, boot in rows])
    else:
        sys.stdout.write(boot_text.listing(rows, options.terminal(chosen)))
    return 0


def _show(chosen: argparse.Namespace, source: "Source") -> int:
    from tidegate.report import boot_html, boot_json, boot_parts, boot_svg, boot_text

    analysis = source.one(chosen.boot)
    match chosen.format:
        case "json":
            _json(boot_json.show(analysis))
        case "html":
            sys.stdout.write(boot_html.render(analysis))
        case "svg":
            sys.stdout.write(boot_svg.render(analysis))
        case _:
            render = boot_text.explain if chosen.verb == "explain" else boot_text.show
            sys.stdout.write(render(analysis, options.terminal(chosen)))
    return EXIT_OF_GRADE[boot_parts.GRADES[analysis.status]]


def _compare(chosen: argparse.Namespace, source: "Source") -> int:
    from tidegate import boot as room
    from tidegate.report import boot_json, boot_text

    before, after = (source.one(wish) for wish in chosen.boots or ("-1", "0"))
    found = room.compare(before, after)
    if chosen.format == "json":
        _json(boot_json.compare(found))
    else:
        sys.stdout.write(boot_text.compare(found, options.terminal(chosen)))
    return 0


def _export(chosen: argparse.Namespace, source: "Source") -> int:
    from tidegate.cli import boot_export

    analysis = source.one(chosen.boot)
    path, count, kept = boot_export.export(source, analysis, output=chosen.output, mask=chosen.mask)
    sys.stdout.write(f"{path}: {count} lines; look at it with: tidegate boot show --file {path}\n")
    if kept:
        sys.stdout.write(
            f"not masked in running text, because messages consist of them: {', '.join(kept)}\n"
        )
    if not chosen.mask:
        sys.stdout.write("it holds names and addresses of this machine: --mask leaves them out\n")
    return 0


def _json(value: "Any") -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
