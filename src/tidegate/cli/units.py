# SPDX-License-Identifier: Apache-2.0
"""``tidegate units plan|apply|verify|check|remove``: what systemd is told, so that what needs the storage starts after it."""

import argparse
import os
import sys
from collections.abc import Sequence

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tidegate.config.model import Config
    from tidegate.units import host
    from tidegate.units.deadlock import Place
    from tidegate.units.plan import Plan

_EXAMPLES = """\
  tidegate units plan                              what would be written here, and why; writes nothing
  tidegate units apply                             write it
  tidegate units apply --timeout 10min             hold Incus for ten minutes at most
  tidegate units plan --root /mnt/image            for a host that is not running
  tidegate units verify                            is it all there still, and has systemd loaded it
  tidegate units check                             did the last boot keep the order, and if not, why
  tidegate units check --boot -1                   the boot before it, from the journal
  tidegate units remove                            take every byte of it back

exit codes of plan and apply --dry-run: 0 nothing to do, 1 refused or failed, 2 usage or configuration, 4 changes are pending
exit codes of verify: 0 as applied and as planned, 1 not so, 2 usage or configuration
exit codes of check: 0 every order was kept, 1 one that instances need was not, 2 usage or configuration, 4 another one was not, 5 unknown
exit codes of apply and remove: 0 done or nothing to do, 1 refused or failed, 2 usage or configuration
"""
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_PENDING = 0, 1, 2, 4
_PLACES = ("other-host", "this-host", "instance-here", "instance-elsewhere")


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    description = (
        "Order the boot: what this host's units are, what is wrong with them, and the drop-ins 60-tidegate-*.conf that make Incus "
        "wait for its storage for a limited time. Nothing else is ever written, but for links that enable Tidegate's own units. "
        "Never connects to Incus unless systemd says that it runs."
    )
    parser = options.parser("units", description, _EXAMPLES)
    parser.add_argument(
        "verb",
        choices=("plan", "apply", "verify", "check", "remove"),
        metavar="plan|apply|verify|check|remove",
        help="show it, do it, look whether it still holds, or was kept at a boot, or undo it",
    )
    parser.add_argument(
        "--strategy",
        choices=("auto", "gate", "order", "guard"),
        help="default: as applied before, else auto, what fits this host",
    )
    parser.add_argument(
        "--policy",
        choices=("fail-open", "fail-closed"),
        help="at the limit let Incus go, or hold it on; default: as configured (gate.policy), as applied before, fail-open",
    )
    parser.add_argument(
        "--timeout",
        type=options.seconds,
        metavar="T",
        help="the longest that Incus is held; default: as configured (gate.limit), as applied before, 5min",
    )
    parser.add_argument(
        "--controller",
        choices=("auto", *_PLACES),
        metavar="WHERE",
        help=f"where the LINSTOR controller runs, if it is not found: {', '.join(_PLACES)}; auto: look anew",
    )
    _add_check_options(parser)
    _add_shell_options(parser)
    return parser


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("--boot", "-b"),
        type=_boot,
        metavar="N",
        help="with check: the boot, 0 the last one (default), -1 the one before",
    )
    parser.add_argument(
        "--journal",
        metavar="FILE",
        help="with check: a recorded journal of one boot, `journalctl -b -o json`, packed by gzip or not",
    )


def _boot(text: str) -> int:
    """Read the number of a boot. For argparse: raises ArgumentTypeError."""
    try:
        number = int(text)
    except ValueError:
        number = 1
    if number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no boot: write 0, -1, -2, ...")
    return number


def _add_shell_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", default="/", help="the host's root; default /, which is this host"
    )
    parser.add_argument("--dry-run", action="store_true", help="with apply: only show, as plan")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"configuration file of this host (default {options.CONFIG_FILE})",
    )


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(argv)
    if chosen.verb != "check" and (chosen.boot is not None or chosen.journal):
        parser.error("--boot and --journal belong to check")
    from pathlib import Path

    from tidegate.clients import errors

    root = Path(os.path.realpath(chosen.root))
    if not root.is_dir():
        sys.stderr.write(
            f"tidegate: {chosen.root} is not a directory: give a host's root with --root\n"
        )
        return EXIT_USAGE
    try:
        act = {"remove": _remove, "verify": _verify, "check": _check}.get(chosen.verb, _plan)
        return act(chosen, root)
    except errors.ClientError as error:
        sys.stderr.write(f"tidegate: {error.trouble}\n")
        return EXIT_REFUSED


def _plan(chosen: argparse.Namespace, root: "Path") -> int:
    """Show the plan, or carry it out."""
    from tidegate.config.model import Config
    from tidegate.units import report

    config = _config(chosen, root)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    plan = _made(chosen, root, config)
    if plan.refusals:
        _show(chosen, plan)
        return EXIT_REFUSED
    if chosen.verb == "apply" and not chosen.dry_run:
        return _apply(chosen, root, config, plan)
    _show(chosen, plan)
    return EXIT_PENDING if report.is_pending(plan) else EXIT_OK


def _config(chosen: argparse.Namespace, root: "Path") -> "Config | str":
    """Return this host's configuration; that of another root is not ours to run with: its defaults do."""
    from tidegate.agent import setup, unitview
    from tidegate.config.model import Config

    if root != unitview.HOST:
        return Config()
    return setup.load(overrides={}, config=chosen.config)


def _made(chosen: argparse.Namespace, root: "Path", config: "Config") -> "Plan":
    import asyncio

    from tidegate.agent import unitproof, unitview

    async def make() -> "Plan":
        view = await unitview.look(root, config, _place(chosen, root))
        return await unitproof.planned(view, _asked(chosen, root, config))

    return asyncio.run(make())


def _place(chosen: argparse.Namespace, root: "Path") -> "Place | None":
    """Return where the controller is said to run, now or when something was applied; None: nobody said."""
    from tidegate.actuators import dropins
    from tidegate.units.deadlock import Place

    if chosen.controller is None:
        record = dropins.load(root)
        return record.controller if record is not None else None
    return Place(chosen.controller) if chosen.controller != "auto" else None


def _asked(chosen: argparse.Namespace, root: "Path", config: "Config") -> "host.Options":
    """Return what is asked for now, else by the configuration, else as it was applied before; guard, devices and tuning stay."""
    from tidegate.actuators import dropins
    from tidegate.config.policy import FailPolicy, GatePolicy
    from tidegate.units import host

    record, usual, gate = dropins.load(root), GatePolicy(), config.gate
    old = record.options if record is not None else host.Options()
    before = old if old.order else host.Options()
    strategy = before.strategy
    if chosen.strategy is not None:
        strategy = None if chosen.strategy == "auto" else host.Strategy(chosen.strategy)
    policy = gate.policy if gate.policy is not usual.policy else before.policy
    timeout = gate.limit if gate.limit != usual.limit else before.timeout
    return host.Options(
        strategy=strategy,
        policy=FailPolicy(chosen.policy) if chosen.policy else policy,
        timeout=timeout if chosen.timeout is None else chosen.timeout,
        guard=old.guard,
        devices=old.devices,
        additions=old.additions,
    )


def _apply(chosen: argparse.Namespace, root: "Path", config: "Config", plan: "Plan") -> int:
    from tidegate.actuators import dropins

    asked, place = _asked(chosen, root, config), _place(chosen, root)
    changed = dropins.apply(root, plan, asked, place)
    touched = (*plan.drop_ins, *(change.path for change in plan.changes))
    reloaded = _reload(root, touched, changed=changed)
    if chosen.format == "json":
        _show(chosen, plan, applied=True, reloaded=reloaded)
        return EXIT_OK
    if not changed:
        sys.stdout.write("nothing to do: everything is as planned\n")
    for change in plan.changes:
        sys.stdout.write(f"{'removed' if change.after is None else 'written'}: {change.path}\n")
    for path in sorted(plan.enable):
        sys.stdout.write(f"enabled: {path}\n")
    for path in sorted(plan.disable):
        sys.stdout.write(f"no longer enabled: {path}\n")
    if reloaded:
        sys.stdout.write(
            "systemd has read its units anew; what is held is held from the next boot on\n"
        )
    return EXIT_OK


def _remove(chosen: argparse.Namespace, root: "Path") -> int:
    """Take everything of ours away."""
    import json

    from tidegate.actuators import dropins
    from tidegate.clients import unitfiles
    from tidegate.units import plan

    record = dropins.load(root)
    gone = dropins.remove(root, plan.removal(unitfiles.read(root)))
    reloaded = _reload(root, gone.removed, changed=bool(gone.removed))
    if chosen.format == "json":
        left = [str(trouble) for trouble in gone.left]
        told = {"removed": list(gone.removed), "left": left, "reloaded": reloaded}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        if not gone.removed:
            sys.stdout.write("nothing to do: nothing of ours is there\n")
        for path in gone.removed:
            sys.stdout.write(f"removed: {path}\n")
    for trouble in gone.left:
        sys.stderr.write(f"tidegate: left where it is: {trouble}\n")
    if record is not None and record.options.guard is not None:
        sys.stderr.write(
            "tidegate: the guard was enabled: `tidegate guard disable` takes back the rest of it\n"
        )
    return EXIT_REFUSED if gone.left else EXIT_OK


def _verify(chosen: argparse.Namespace, root: "Path") -> int:
    """Look whether all that was applied is there, is what the plan would be today, and is what systemd has loaded."""
    import asyncio
    import json

    from tidegate.agent import unitdrift
    from tidegate.config.model import Config
    from tidegate.units import report

    config = _config(chosen, root)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    found = asyncio.run(unitdrift.look(root, config))
    if chosen.format == "json":
        rows = [{"code": one.code, "text": one.text, "hint": one.hint} for one in found.troubles]
        told = {"troubles": rows, "asked_systemd": found.asked_systemd}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    elif found.troubles:
        lines = [line for one in found.troubles for line in report.trouble(one)]
        sys.stdout.write(report.clean("\n".join(["not as it was applied:", *lines]) + "\n"))
    else:
        where = ", and systemd has loaded it" if found.asked_systemd else "; systemd was not asked"
        sys.stdout.write(f"all is as it was applied and as it would be planned today{where}\n")
    return EXIT_REFUSED if found.troubles else EXIT_OK


def _check(chosen: argparse.Namespace, root: "Path") -> int:
    """Compare the order in which units started at a boot with the one they should have."""
    from tidegate.cli import unitscheck
    from tidegate.config.model import Config

    config = _config(chosen, root)
    if not isinstance(config, Config):
        sys.stderr.write(config)
        return EXIT_USAGE
    return unitscheck.run(chosen, root, config, _place(chosen, root))


def _reload(root: "Path", touched: Sequence[str], *, changed: bool) -> bool:
    """Have systemd read its units anew, where these are the units of a systemd that runs."""
    import asyncio

    from tidegate.agent import unitview

    if root != unitview.HOST or not unitview.is_booted():
        return False
    return asyncio.run(unitview.reload(unitview.units_of(touched), changed=changed))


def _show(chosen: argparse.Namespace, plan: "Plan", **more: object) -> None:
    import json

    from tidegate.units import report

    if chosen.format == "json":
        sys.stdout.write(json.dumps({**report.document(plan), **more}, indent=1) + "\n")
    else:
        sys.stdout.write(report.text(plan))
