# SPDX-License-Identifier: Apache-2.0
"""Unit files on behalf of other rooms: the guard's place before Incus, drop-ins that tuning wants.

Only ``units`` writes unit files (contract.md, "Processes and truth"). So whoever wants one says what, and what was asked for goes into
the same plan, proof and record as the boot order itself: ``units verify`` watches it, ``units remove`` takes it back.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tidegate.actuators import dropins
from tidegate.actuators.dropins import Record
from tidegate.agent import unitproof, unitview
from tidegate.clients import unitfiles
from tidegate.config.model import Config
from tidegate.core.trouble import Trouble
from tidegate.units import plan
from tidegate.units.host import Addition, GuardAccess, Options


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. With ``refusals`` nothing was written."""

    changed: bool = False
    reloaded: bool = False
    """systemd has read its units anew; a running Incus keeps its environment until it is started again."""
    paths: tuple[str, ...] = ()
    """Files written or removed, links included."""
    refusals: tuple[Trouble, ...] = ()


async def enable_guard(root: Path, config: Config, access: GuardAccess) -> Changed:
    """Order the guard before Incus, enable its units, and give Incus ``LS_CONTROLLERS`` and the place of the secret.

    Where nobody ordered the boot, only this is written. Where ``units apply`` did and chose the gate by itself, the guard takes its
    place; where a person asked for the gate, or Incus's own volumes need it, both hold. ``access.secret_file`` and ``/var/lib/tidegate/guard.json`` must be written before: without the second
    the guard's units do not start. Below ``root`` nothing is started. Raises ClientError as ``actuators.dropins.apply``.
    """
    record = dropins.load(root)
    options = _options(record)
    return await _change(root, config, record, msgspec.structs.replace(options, guard=access))


async def disable_guard(root: Path, config: Config) -> Changed:
    """Take back what :func:`enable_guard` wrote: the tree is as it was before it. Raises ClientError."""
    record = dropins.load(root)
    if record is None or record.options.guard is None:
        return Changed()
    options = msgspec.structs.replace(record.options, guard=None)
    return await _change(root, config, record, options)


async def set_devices(root: Path, config: Config, *, enabled: bool) -> Changed:
    """Enable or disable devices first from the next boot on, in the same plan, proof and record. Raises ClientError."""
    record = dropins.load(root)
    options = _options(record)
    if options.devices == enabled:
        return Changed()
    return await _change(root, config, record, msgspec.structs.replace(options, devices=enabled))


async def add(root: Path, config: Config, additions: Iterable[Addition]) -> Changed:
    """Write these drop-ins; one with the same unit and topic is replaced. Raises ClientError."""
    record = dropins.load(root)
    options = _options(record)
    wanted = {(one.unit, one.topic): one for one in (*options.additions, *additions)}
    options = msgspec.structs.replace(options, additions=tuple(wanted.values()))
    return await _change(root, config, record, options)


async def drop(root: Path, config: Config, topics: Iterable[str]) -> Changed:
    """Take the additions of these topics away. Raises ClientError."""
    record = dropins.load(root)
    gone = frozenset(topics)
    if record is None or gone.isdisjoint(one.topic for one in record.options.additions):
        return Changed()
    kept = tuple(one for one in record.options.additions if one.topic not in gone)
    options = msgspec.structs.replace(record.options, additions=kept)
    return await _change(root, config, record, options)


def _options(record: Record | None) -> Options:
    return record.options if record is not None else Options(order=False)


async def _change(root: Path, config: Config, record: Record | None, options: Options) -> Changed:
    asked_for = options.guard is not None or options.devices or options.additions
    if not options.order and not asked_for:
        gone = dropins.remove(root, plan.removal(unitfiles.read(root)))
        reloaded = await _reload(root, gone.removed)
        return Changed(
            changed=bool(gone.removed), reloaded=reloaded, paths=gone.removed, refusals=gone.left
        )
    place = record.controller if record is not None else None
    wanted = await unitproof.planned(await unitview.look(root, config, place), options)
    if wanted.refusals:
        return Changed(refusals=wanted.refusals)
    changed = dropins.apply(root, wanted, options, place)
    paths = (*(one.path for one in wanted.changes), *wanted.enable, *wanted.disable)
    return Changed(changed=changed, reloaded=await _reload(root, paths), paths=paths)


async def _reload(root: Path, paths: Iterable[str]) -> bool:
    touched = tuple(paths)
    if root != unitview.HOST or not touched or not unitview.is_booted():
        return False
    return await unitview.reload(unitview.units_of(touched), changed=True)
