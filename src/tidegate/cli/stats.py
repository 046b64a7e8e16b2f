# SPDX-License-Identifier: Apache-2.0
"""``tidegate stats``: how long boots take on this node, over the last of them, without a Prometheus."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.history.boots import BootRecord
    from tidegate.report import stats

_EXAMPLES = """\
  tidegate stats                     median, p95, worst and trend of the last 50 boots
  tidegate stats --boots 10          of the last ten
  tidegate stats --format json       for programs
  tidegate stats --textfile /var/lib/prometheus/node-exporter/tidegate.prom
                                     the agent's metrics of this moment, for node_exporter
"""
ASK_WITHIN = 5.0
_HEAD = "# HELP tidegate_agent_up 1 while the agent answers.\n# TYPE tidegate_agent_up gauge\ntidegate_agent_up {}\n"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser(
        "stats",
        "How long this node's boots take: when the satellite listens, is ONLINE, the last instance runs; median, p95, worst, trend. "
        "From what the agent has measured.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--boots", type=_count, default=50, metavar="N", help="how many; default 50"
    )
    parser.add_argument(
        "--textfile",
        metavar="FILE",
        help="instead: write what the agent exports to FILE, for node_exporter's textfile collector",
    )
    options.add_output_options(parser)
    options.add_host_options(parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of boots: write 1 to 10000")
    return int(text)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    if chosen.textfile:
        return _textfile(chosen)
    from pathlib import Path

    from tidegate.agent import setup
    from tidegate.core.trouble import Trouble
    from tidegate.history import boots
    from tidegate.report import stats
    from tidegate.report.terminal import Terminal

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if isinstance(config, str):
        sys.stderr.write(config)
        return 2
    found = boots.read_boots(Path(config.agent.state_dir) / "history.db", most=chosen.boots)
    if isinstance(found, Trouble):
        sys.stderr.write(f"tidegate stats: {found}\n")
        return 5
    known = [_boot(record) for record in found]
    rows = stats.rows(known)
    if chosen.format == "json":
        sys.stdout.write(json.dumps(stats.document(known, rows), indent=2) + "\n")
    else:
        terminal = Terminal(width=options.screen_width(), color=options.wants_color(chosen.color))
        sys.stdout.write(stats.render(known, rows, terminal))
    return 0


def _textfile(chosen: argparse.Namespace) -> int:
    """Write the agent's metrics, whole or not at all; where no agent answers, that alone: old figures would look alive."""
    from pathlib import Path

    from tidegate.clients import errors, files

    text, reason = _metrics(f"{os.path.dirname(options.agent_socket(chosen))}/web.sock")  # noqa: PTH120
    up = 0 if reason else 1
    try:
        files.write(Path(chosen.textfile), (text + _HEAD.format(up)).encode(), durable=False)
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate stats: {error.trouble}\n")
        return 1
    if reason:
        sys.stderr.write(f"tidegate stats: {reason}; {chosen.textfile} says so\n")
        return 5
    return 0


def _metrics(path: str) -> tuple[str, str]:
    """Return (metrics as text, ""), or ("", why they cannot be had)."""
    import http.client
    import socket

    connection = http.client.HTTPConnection("agent", timeout=ASK_WITHIN)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(ASK_WITHIN)
        connection.sock.connect(path)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return "", f"no agent answers at {path}: {error}"
    finally:
        connection.close()
    if answer.status != 200:
        return "", f"the agent at {path} answers HTTP {answer.status}"
    return body.decode(), ""


def _boot(record: "BootRecord") -> "stats.Boot":
    from tidegate.report import stats

    figures: dict[str, list[float]] = {}
    for name, _subject, value in record.measures:
        figures.setdefault(name, []).append(value)
    return stats.Boot(
        boot_id=record.boot_id,
        began=record.began,
        figures={name: tuple(values) for name, values in figures.items()},
    )
