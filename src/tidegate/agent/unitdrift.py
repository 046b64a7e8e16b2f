# SPDX-License-Identifier: Apache-2.0
"""Whether what was applied still holds: on disk, against what the plan would be today, and in systemd's memory.

A package upgrade may bring other units, a person may edit ours, and a drop-in that systemd never read orders nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from tidegate.actuators import dropins
from tidegate.actuators.dropins import Record
from tidegate.agent import unitview
from tidegate.clients import errors
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config.model import Config
from tidegate.config.policy import GatePolicy
from tidegate.core.trouble import Trouble
from tidegate.units import plan
from tidegate.units.host import GUARD_SOCKET, READY_UNIT, Strategy
from tidegate.units.packaging import INCUS_UNIT
from tidegate.units.plan import Plan


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What does not hold; nothing is good news. ``asked_systemd``: these are the units of a systemd that runs."""

    troubles: tuple[Trouble, ...]
    asked_systemd: bool


async def look(root: Path, config: Config) -> Verdict:
    """Return what of that which was applied below ``root`` does not hold. Raises ClientError where files cannot be read."""
    record = dropins.load(root)
    if record is None:
        return Verdict(troubles=(_nothing(root),), asked_systemd=False)
    on_disk = dropins.drift(root, record)
    view = await unitview.look(root, config, record.controller)
    today = tuple(of_plan(record, plan.make(view, record.options), known=bool(on_disk)))
    asks = root == unitview.HOST and unitview.is_booted()
    in_memory = await _asked(record) if asks else ()
    told = (*on_disk, *today, *of_config(record, config.gate), *in_memory)
    return Verdict(troubles=told, asked_systemd=asks)


def of_config(record: Record, wanted: GatePolicy) -> Iterator[Trouble]:
    """Yield what the configuration says of the gate and the drop-in does not: the drop-in counts, so that was written in vain."""
    if record.strategy not in {Strategy.GATE, Strategy.ORDER}:
        return
    usual, asked = GatePolicy(), record.options
    if wanted.limit not in {usual.limit, asked.timeout}:
        yield _replan(
            f"gate.limit is {wanted.limit:g} s in the configuration; applied, and what counts, is {asked.timeout:g} s"
        )
    if wanted.policy not in {usual.policy, asked.policy}:
        yield _replan(
            f"gate.policy is {wanted.policy} in the configuration; applied, and what counts, is {asked.policy}"
        )


def of_plan(record: Record, today: Plan, *, known: bool) -> Iterator[Trouble]:
    """Yield what the plan of ``today`` has against what is in ``record``; ``known``: that files differ was told already."""
    yield from today.refusals
    if today.refusals:
        return
    if today.strategy is not record.strategy:
        yield _replan(
            f"the plan of today takes the strategy {today.strategy}, not {record.strategy}"
        )
        return
    written = {path: dropins.digest(text) for path, text in today.drop_ins.items()}
    for path in sorted(written.keys() | record.drop_ins.keys()):
        if written.get(path) != record.drop_ins.get(path):
            yield _replan(f"{path} would be another today: this host has changed since")
    if not known:
        strays = {change.path for change in today.changes} - written.keys() - record.drop_ins.keys()
        for path in sorted(strays):
            yield _replan(f"{path} has one of our names and is not in the record")
    for path in sorted(today.enable.keys() - record.links.keys()):
        yield _replan(f"{path} is missing: the unit is not enabled")
    for path in sorted(today.disable):
        yield _replan(f"{path} enables a unit that the plan of today does without")


def of_manager(record: Record, units: Mapping[str, Unit]) -> Iterator[Trouble]:
    """Yield what systemd has not loaded of ``record``; ``units``: what it says of each unit by name."""
    for path in sorted(record.drop_ins):
        (name,) = unitview.units_of((path,))
        unit = units[name]
        if unit.load_state != "loaded":
            yield _unloaded(f"systemd has {name} as {unit.load_state}, not as loaded")
        elif path.endswith(".conf") and path not in unit.drop_ins:
            yield _unloaded(f"systemd has not read {path}")
    for name, unit in sorted(units.items()):
        if unit.need_daemon_reload:
            yield _unloaded(f"the files of {name} have changed since systemd read them")
    incus = units.get(INCUS_UNIT)
    guard = record.options.guard
    if guard is not None and incus is not None and GUARD_SOCKET not in incus.after:
        yield _unloaded(f"in systemd's memory {INCUS_UNIT} is not ordered after {GUARD_SOCKET}")
    gated = record.strategy in {Strategy.GATE, Strategy.ORDER}
    if gated and incus is not None and READY_UNIT not in incus.after:
        yield _unloaded(f"in systemd's memory {INCUS_UNIT} is not ordered after {READY_UNIT}")


async def _asked(record: Record) -> tuple[Trouble, ...]:
    names: Iterable[str] = unitview.units_of(record.drop_ins)
    try:
        async with Manager() as manager:
            units = {name: await manager.unit(name) for name in names}
    except errors.ClientError as error:
        return (error.trouble,)
    return tuple(of_manager(record, units))


def _nothing(root: Path) -> Trouble:
    return Trouble(
        code="units.not-applied",
        text=f"nothing was applied below {root}: there is no {dropins.RECORD}",
        hint="`tidegate units plan` shows what would be, `tidegate units apply` writes it",
    )


def _replan(text: str) -> Trouble:
    hint = "`tidegate units plan` shows the difference, `tidegate units apply` makes it so"
    return Trouble(code="units.plan-changed", text=text, hint=hint)


def _unloaded(text: str) -> Trouble:
    return Trouble(
        code="units.not-loaded",
        text=text,
        hint="`systemctl daemon-reload`; then `systemctl cat` of the unit shows what is in force",
    )
