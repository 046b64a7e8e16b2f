# SPDX-License-Identifier: Apache-2.0
"""``tidegate guard enable|disable|status``: have Incus ask the guard first, take it back, see how it stands."""

import argparse
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tidegate.agent.guardsetup import Outcome, Setup, Status

VERBS = ("enable", "disable", "status")
EXAMPLES = """\
  tidegate guard enable                         by Incus's own key if it is set, else for this node alone
  tidegate guard enable --form cluster          the key of all members; run it on each of them, it takes effect with the last
  tidegate guard status                         is it enabled, does it answer, does Incus ask it
  tidegate guard disable                        give Incus its old setting back and take away every file

exit codes of enable and disable: 0 done or nothing to do, 1 refused or failed, 2 usage or configuration
exit codes of status: 0 as it should be, or not enabled; 1 it does not answer; 2 usage or configuration; 4 Incus does not ask it
"""
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNUSED = 0, 1, 2, 4


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the three verbs."""
    description = (
        "Have Incus ask the guard before the LINSTOR controllers. The old setting is kept in guard.json, the real controllers in "
        "Tidegate's own configuration; the guard must answer before Incus is sent to it. Needs root and a running Incus."
    )
    parser = options.parser("guard", description, EXAMPLES)
    parser.add_argument(
        "verb", choices=VERBS, metavar="|".join(VERBS), help="do it, undo it, or look"
    )
    parser.add_argument(
        "--form",
        choices=("cluster", "node"),
        help="with enable: by the cluster's key, or by LS_CONTROLLERS of this node; default: what fits",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    options.add_host_options(parser)
    return parser


def run(argv: Sequence[str]) -> int:
    """Run one of the verbs; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if chosen.form and chosen.verb != "enable":
        parser.error("--form belongs to enable")
    import asyncio

    from tidegate.agent import guardsetup, setup
    from tidegate.clients import errors

    config = setup.load(overrides=options.overrides(chosen), config=chosen.config)
    if isinstance(config, str):
        sys.stderr.write(config)
        return EXIT_USAGE
    made = guardsetup.Setup(config)
    try:
        if chosen.verb == "status":
            return show_status(chosen, asyncio.run(made.status()))
        return show(chosen, asyncio.run(_act(chosen, made)))
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate: {error.trouble}\n")
        return EXIT_REFUSED


async def _act(chosen: argparse.Namespace, made: "Setup") -> "Outcome":
    import secrets

    from tidegate.guard.record import Form

    if chosen.verb == "disable":
        return await made.disable()
    asked = Form(chosen.form) if chosen.form else None
    return await made.enable(asked, lambda: secrets.token_urlsafe(32))


def show(chosen: argparse.Namespace, outcome: "Outcome") -> int:
    """Tell what was done; returns the exit code."""
    from tidegate.report.terminal import harmless

    if chosen.format == "json":
        import json

        trouble = outcome.trouble
        told = {
            "done": list(outcome.done),
            "notes": list(outcome.notes),
            "trouble": None
            if trouble is None
            else {"code": trouble.code, "text": trouble.text, "hint": trouble.hint},
        }
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        if not outcome.done and outcome.trouble is None:
            sys.stdout.write("nothing to do\n")
        for line in (*outcome.done, *(f"note: {one}" for one in outcome.notes)):
            sys.stdout.write(f"{harmless(line)}\n")
    if outcome.trouble is None:
        return EXIT_OK
    if chosen.format != "json":
        sys.stderr.write(f"tidegate: {harmless(str(outcome.trouble))}\n")
    return EXIT_REFUSED


def show_status(chosen: argparse.Namespace, found: "Status") -> int:
    """Tell how it stands; returns the exit code."""
    from tidegate.report.terminal import harmless

    if chosen.format == "json":
        import json

        sys.stdout.write(json.dumps(_document(found), indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{harmless(line)}\n" for line in _lines(found)))
    if not found.enabled:
        return EXIT_OK
    if found.answers is not None:
        return EXIT_REFUSED
    return EXIT_OK if found.in_use else EXIT_UNUSED


def _lines(found: "Status") -> list[str]:
    if found.record is None:
        return ["not enabled: Incus asks its controllers itself"]
    lines = [
        f"enabled on {found.record.node}, form of the {found.record.form}",
        f"controllers: {', '.join(found.record.controllers)}",
        "the guard answers"
        if found.answers is None
        else f"the guard does not answer: {found.answers}",
    ]
    if found.trouble is not None:
        lines.append(f"whether Incus asks it is not known: {found.trouble}")
    elif not found.in_use:
        lines.append(
            "Incus does not ask it as it should: its list of controllers does not name the guard first and a controller behind it; "
            "`tidegate guard enable` puts it right"
        )
    else:
        lines.append("Incus asks it first")
    return lines


def _document(found: "Status") -> "dict[str, object]":
    kept = found.record
    return {
        "enabled": found.enabled,
        "form": kept.form.value if kept is not None else None,
        "node": kept.node if kept is not None else None,
        "controllers": list(kept.controllers) if kept is not None else [],
        "key": found.key,
        "in_use": found.in_use,
        "answers": found.enabled and found.answers is None,
        "trouble": next(
            (str(one) for one in (found.answers, found.trouble) if one is not None), None
        ),
    }
