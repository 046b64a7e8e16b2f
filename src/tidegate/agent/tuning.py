# SPDX-License-Identifier: Apache-2.0
"""Advice applied and taken back: drop-ins through the room ``units``, and a note of when, for the comparison of boots."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tidegate.actuators import dropins
from tidegate.agent import archiving, unitchange
from tidegate.agent.unitchange import Changed
from tidegate.clients import clock, errors, files
from tidegate.config.model import Config
from tidegate.core.trouble import Trouble
from tidegate.tuning import jvm
from tidegate.tuning.advice import Advice, Edit
from tidegate.tuning.facts import HostFacts
from tidegate.tuning.result import Applied
from tidegate.units.host import Addition

FILE: Final = "tune.json"
ARCHIVE: Final = "class-archive"
_DEVICES: Final = "devices-first"
_WHY_OPTIONS: Final = (
    "Options for the JVM, from: {}. What others set for it stands in front of them."
)


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was ever applied on this host, the latest last."""

    applied: tuple[Applied, ...] = ()

    def now(self) -> frozenset[str]:
        """Return what is in force."""
        return frozenset(one.id for one in self.applied if one.reverted is None)

    def written(self) -> frozenset[str]:
        """Return what is in force by files of ours. What a person did by hand may not have worked: it is advised for as long as it is found."""
        return frozenset(one.id for one in self.applied if one.reverted is None and not one.by_hand)

    def last(self, name: str) -> Applied | None:
        """Return when ``name`` was applied last."""
        return next((one for one in reversed(self.applied) if one.id == name), None)


def load(config: Config) -> Notes:
    """Return the notes; none when there are none. Raises ClientError when they cannot be read."""
    path = Path(config.agent.state_dir) / FILE
    if not path.exists():
        return Notes()
    try:
        return msgspec.json.decode(files.read(path), type=Notes)
    except msgspec.MsgspecError as error:
        raise errors.ClientError(
            Trouble(
                code="tune.notes",
                text=f"{path} cannot be read: {error}",
                hint="put it aside; what was applied shows in `tidegate units verify`",
            )
        ) from error


def dated(config: Config, notes: Notes) -> Notes:
    """Return ``notes`` for a comparison of boots: an archive counts from when there was one, not from when it was asked for."""
    made = archiving.since(config)
    return Notes(
        applied=tuple(
            msgspec.structs.replace(one, at=max(one.at, made if made is not None else clock.wall()))
            if one.id == ARCHIVE and one.reverted is None
            else one
            for one in notes.applied
        )
    )


def settle(config: Config, *, at: float) -> Notes:
    """Return the notes, after noting what somebody else took back (``units remove``) as reverted ``at``. Raises ClientError."""
    notes, record = load(config), dropins.load(Path(config.host.root))
    topics = {one.topic for one in record.options.additions} if record is not None else set()
    devices = record is not None and record.options.devices
    there = [
        one.reverted is not None
        or one.by_hand
        or (devices if one.id == _DEVICES else _topic_of(one) in topics)
        for one in notes.applied
    ]
    if all(there):
        return notes
    settled = Notes(
        applied=tuple(
            one if is_there else msgspec.structs.replace(one, reverted=at)
            for one, is_there in zip(notes.applied, there, strict=True)
        )
    )
    _save(config, settled)
    return settled


async def apply(config: Config, wanted: Advice, facts: HostFacts, *, at: float) -> Changed:
    """Carry ``wanted`` out at ``at`` (seconds since the epoch), and note it. Raises ClientError."""
    edit = wanted.edit
    if edit is None:
        change = "; ".join(wanted.change)
        trouble = Trouble(
            code="tune.by-hand",
            text=f"{wanted.id} is not Tidegate's to change",
            hint=f"by hand: {change}; then tell it with `tidegate tune apply {wanted.id} --by-hand`, and boots will show what it gains",
        )
        return Changed(refusals=(trouble,))
    noted = Applied(
        id=wanted.id,
        measure=wanted.measure,
        at=at,
        expected=wanted.gain,
        unit=edit.unit,
        words=edit.words,
        theirs=_theirs(facts, edit.unit) if edit.words else "",
    )
    done = await _write(config, wanted, edit, noted)
    if not done.refusals:
        _save(config, Notes(applied=(*load(config).applied, noted)))
    return done


def note(config: Config, wanted: Advice, *, at: float) -> None:
    """Note that a person has carried ``wanted`` out at ``at``; nothing else is written. Raises ClientError."""
    done = Applied(id=wanted.id, measure=wanted.measure, at=at, expected=wanted.gain, by_hand=True)
    _save(config, Notes(applied=(*load(config).applied, done)))


async def _write(config: Config, wanted: Advice, edit: Edit, noted: Applied) -> Changed:
    root = Path(config.host.root)
    if edit.enable:
        return await unitchange.set_devices(root, config, enabled=True)
    if edit.words:
        return await _options(config, edit.unit, (*load(config).applied, noted))
    if wanted.id == ARCHIVE:
        archiving.prepare(config)
    made = Addition(
        unit=edit.unit, topic=_topic(wanted.id), why=wanted.title, sections=edit.sections
    )
    done = await unitchange.add(root, config, [made])
    if done.refusals and wanted.id == ARCHIVE:
        archiving.remove(config)
    return done


async def revert(config: Config, name: str, *, at: float) -> Changed:
    """Take ``name`` back, to the byte, and note it. Raises ClientError."""
    root, notes = Path(config.host.root), dated(config, load(config))
    last = notes.last(name)
    ended = tuple(
        msgspec.structs.replace(one, reverted=at)
        if one.id == name and one.reverted is None
        else one
        for one in notes.applied
    )
    if last is not None and last.by_hand:
        done = Changed()
    elif name == _DEVICES:
        done = await unitchange.set_devices(root, config, enabled=False)
    elif last is not None and last.words:
        done = await _options(config, last.unit, ended)
    else:
        done = await unitchange.drop(root, config, [_topic(name)])
        if name == ARCHIVE and not done.refusals:
            archiving.remove(config)
    if not done.refusals:
        _save(config, Notes(applied=ended))
    return done


async def _options(config: Config, unit: str, applied: Iterable[Applied]) -> Changed:
    """Make the one drop-in for ``unit`` that all options in force are in; take it away when none is."""
    root = Path(config.host.root)
    force = [one for one in applied if one.unit == unit and one.words and one.reverted is None]
    topic = _options_topic(unit)
    if not force:
        return await unitchange.drop(root, config, [topic])
    words = [word for one in force for word in one.words]
    line = jvm.setting(jvm.joined(force[-1].theirs, words))
    why = _WHY_OPTIONS.format(", ".join(one.id for one in force))
    made = Addition(unit=unit, topic=topic, why=why, sections={"Service": (line,)})
    return await unitchange.add(root, config, [made])


def _theirs(facts: HostFacts, unit: str) -> str:
    services = (facts.satellite, facts.controller)
    return next((one.options for one in services if one is not None and one.unit == unit), "")


def _topic_of(applied: Applied) -> str:
    return _options_topic(applied.unit) if applied.words else _topic(applied.id)


def _options_topic(unit: str) -> str:
    return f"tune-jvm-{unit.removesuffix('.service').removeprefix('linstor-')}"


def _topic(name: str) -> str:
    return f"tune-{name}"


def _save(config: Config, notes: Notes) -> None:
    folder = Path(config.agent.state_dir)
    if not folder.exists():  # where it is, its mode is the agent's
        files.make_directory(folder, mode=0o755)
    files.write(folder / FILE, msgspec.json.encode(notes))
