# SPDX-License-Identifier: Apache-2.0
"""Carries a plan of ``units`` out, and takes it back to the last byte.

Nothing but our drop-ins ``60-tidegate-*.conf`` and the links that enable our own units is ever written. Before anything is, the record
(:data:`RECORD`) names all that may be there from then on: so whatever moment the machine or we die in, :func:`remove` finds
everything, and takes it away without a trace.
"""

import contextlib
import hashlib
import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import errors, files, unitfiles
from tidegate.core.trouble import Trouble
from tidegate.units.deadlock import Place
from tidegate.units.host import Known, Options, Strategy
from tidegate.units.plan import Change, Plan

RECORD: Final = "/var/lib/tidegate/units.json"
FORMAT: Final = 1
HEADER: Final = "# Written by `tidegate units apply`."
"""Begins every drop-in that we wrote: with it we know our own even where the record was lost."""
_BESIDE: Final = ".{}.tidegate-new"
"""Where directories are made that appear at once, with the record in them."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What we may have written below a root."""

    format: int = FORMAT
    options: Options = Options()
    """What was asked for."""
    controller: Place | None = None
    """Where the controller runs, as somebody said; None: nobody did."""
    known: Known | None = None
    """What the plan rested on besides unit files."""
    strategy: Strategy | None = None
    """What was chosen."""
    drop_ins: Mapping[str, str] = {}
    """Path to the SHA-256 of its text."""
    links: Mapping[str, str] = {}
    """Path to target."""
    made: tuple[str, ...] = ()
    """Directories that were not there before us."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What :func:`remove` took away, and what it left because it is not ours."""

    removed: tuple[str, ...] = ()
    left: tuple[Trouble, ...] = ()


def load(root: Path) -> Record | None:
    """Return the record below ``root``; None when nothing was applied. Raises ClientError ``file.*``, ``units.record-unusable``."""
    place = _place(root, RECORD)
    if not place.exists():
        return None
    try:
        found = msgspec.json.decode(files.read(place), type=Record)
    except msgspec.MsgspecError as error:
        raise _unusable(place, str(error)) from error
    if found.format != FORMAT:
        raise _unusable(place, f"it is of form {found.format}, this program writes {FORMAT}")
    return found


def apply(root: Path, wanted: Plan, options: Options, controller: Place | None = None) -> bool:
    """Make the units below ``root`` as ``wanted`` says; returns whether anything had to be changed.

    ``wanted`` must be without refusals; ``options`` and ``controller`` are what it was made from, for the record. Raises ClientError:
    ``units.not-ours`` before anything is written when a file of somebody else is in the way, ``units.busy``,
    ``units.record-unusable``, ``file.*``: then what was written until then is taken back, and should that fail too, it is in the record.
    """
    with _alone(root):
        before = load(root)
        _sweep(root, before)
        old = before or Record()
        _refuse_others(root, old, wanted.changes)
        made = (*old.made, *_missing(root, (*wanted.drop_ins, *wanted.enable, RECORD)))
        fresh = Record(
            options=options,
            controller=controller,
            known=wanted.known,
            strategy=wanted.strategy,
            drop_ins={path: digest(text) for path, text in wanted.drop_ins.items()},
            links=_ours(old, wanted),
            made=tuple(sorted(set(made))),
        )
        stale = {path: to for path, to in old.links.items() if path not in fresh.links}
        if _is_same(before, fresh) and not wanted.changes and not wanted.enable:
            if before != fresh:
                _save(root, fresh)
            return False
        everything = {**old.drop_ins, **fresh.drop_ins}
        links = {**stale, **fresh.links}
        _save(root, msgspec.structs.replace(fresh, drop_ins=everything, links=links))
        try:
            _write(root, wanted)
            _unlink(root, stale)
            kept = tuple(path for path in fresh.made if not _pruned(root, path))
            _save(root, msgspec.structs.replace(fresh, made=kept))
        except errors.ClientError:
            _undo(root, wanted, stale, before, fresh)
            raise
        return True


def _undo(
    root: Path, wanted: Plan, stale: Mapping[str, str], before: Record | None, tried: Record
) -> None:
    """Put everything back as it was before :func:`apply`, as far as the disk lets us; the record goes last."""
    with contextlib.suppress(errors.ClientError):
        for change in wanted.changes:
            place = _place(root, change.path)
            if change.before is None:
                files.remove(place)
            else:
                files.write(place, change.before.encode())
        _unlink(root, wanted.enable)
        for path, target in stale.items():
            if not os.path.lexists(_place(root, path)):
                files.make_link(_place(root, path), target)
        for path in sorted(tried.made, key=len, reverse=True):
            if before is None or path not in before.made:
                _pruned(root, path)
        if before is None:
            _forget(root, tried)
        else:
            _save(root, before)


def _is_same(before: Record | None, fresh: Record) -> bool:
    """Return whether the two name the same files; what is known of the host besides may be news."""
    return before is not None and msgspec.structs.replace(before, known=fresh.known) == fresh


def remove(root: Path, ours: Iterable[Change]) -> Removal:
    """Take everything of ours below ``root`` away: what the record names, and ``ours`` (``plan.removal``), should it be lost.

    A file under one of our names that somebody else wrote stays. Raises ClientError as :func:`apply`.
    """
    with _alone(root):
        before = load(root)
        record = before or Record()
        _sweep(root, before)
        removed: list[str] = []
        left: list[Trouble] = []
        for path in sorted({*record.drop_ins, *(change.path for change in ours)}):
            place = _place(root, path)
            if not os.path.lexists(place):
                continue
            if _is_ours(place, record.drop_ins.get(path)):
                files.remove(place)
                removed.append(path)
            else:
                left.append(_not_ours(path))
        removed.extend(_unlink(root, record.links))
        for path in sorted(record.made, key=len, reverse=True):
            _pruned(root, path)
        _forget(root, record)
        return Removal(removed=tuple(removed), left=tuple(left))


def drift(root: Path, record: Record) -> tuple[Trouble, ...]:
    """Return what below ``root`` is no longer as ``record`` has it. Raises ClientError ``file.*``."""
    found: list[Trouble] = []
    for path, recorded in record.drop_ins.items():
        place = _place(root, path)
        if place.is_symlink() or not place.is_file():
            found.append(_drifted(path, "is not there any more"))
        elif digest(files.read_text(place)) != recorded:
            found.append(_drifted(path, "was changed since it was written"))
    found.extend(
        _drifted(path, "is not there any more: the unit is not enabled")
        for path in record.links
        if not _place(root, path).is_symlink()
    )
    return tuple(found)


def _drifted(path: str, what: str) -> Trouble:
    return Trouble(
        code="units.drift",
        text=f"{path} {what}",
        hint="`tidegate units apply` puts it right; `tidegate units plan` shows the difference",
    )


def digest(text: str) -> str:
    """Return the SHA-256 of a drop-in's text, as the record has it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _write(root: Path, wanted: Plan) -> None:
    for path in _missing(root, (*wanted.drop_ins, *wanted.enable)):
        files.make_directory(unitfiles.inside(root, path))
    for change in wanted.changes:
        place = _place(root, change.path)
        if change.after is None:
            files.remove(place)
        else:
            files.write(place, change.after.encode())
    for path, target in wanted.enable.items():
        files.make_link(_place(root, path), target)


def _ours(old: Record, wanted: Plan) -> dict[str, str]:
    """Return the links that are ours and wanted: those of before, and those that are made now."""
    kept = {path: to for path, to in old.links.items() if path in wanted.links}
    return dict(sorted({**kept, **wanted.enable}.items()))


def _unlink(root: Path, links: Mapping[str, str]) -> list[str]:
    """Take links of ours away; one that leads elsewhere by now is somebody else's."""
    gone = []
    for path, target in sorted(links.items()):
        place = _place(root, path)
        if place.is_symlink() and str(place.readlink()) == target:
            files.remove(place)
            gone.append(path)
    return gone


def _pruned(root: Path, path: str) -> bool:
    """Take a directory that we made away if it is empty; the record's own go with the record."""
    return not RECORD.startswith(f"{path}/") and files.remove_directory(
        unitfiles.inside(root, path)
    )


def _missing(root: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the directories above ``paths`` that are not there, those above first."""
    found: dict[str, None] = {}
    for path in paths:
        above = posixpath.dirname(path)
        chain = []
        while above != "/" and not unitfiles.inside(root, above).is_dir():
            chain.append(above)
            above = posixpath.dirname(above)
        found.update(dict.fromkeys(reversed(chain)))
    return tuple(found)


def _save(root: Path, record: Record) -> None:
    """Write the record; directories that it needs appear at once and with it, so that none is ever there that it does not name."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    chain = _missing(root, (RECORD,))
    if not chain:
        files.write(_place(root, RECORD), data, mode=0o640)
        return
    top = _place(root, chain[0])
    beside = top.with_name(_BESIDE.format(top.name))
    files.make_directory(beside)
    inner = beside
    for path in chain[1:]:
        inner = inner / posixpath.basename(path)
        files.make_directory(inner)
    files.write(inner / posixpath.basename(RECORD), data, mode=0o640)
    files.move(beside, top)


def _forget(root: Path, record: Record) -> None:
    """Take the record away, and of the directories made for it those in which nothing else lies: all at once."""
    place = _place(root, RECORD)
    top = None
    for path in sorted((path for path in record.made if RECORD.startswith(f"{path}/")), key=len):
        folder = unitfiles.inside(root, path)
        if folder.is_dir() and _holds_only(folder, place):
            top = folder
            break
    if top is None:
        files.remove(place)
        return
    beside = top.with_name(_BESIDE.format(top.name))
    files.move(top, beside)
    files.clear(beside)
    files.sync_directory(top.parent)


def _holds_only(folder: Path, place: Path) -> bool:
    return all(
        found == place or (found in place.parents and not found.is_symlink())
        for found in folder.rglob("*")
    )


def _sweep(root: Path, record: Record | None) -> None:
    """Take away what a death in the middle of a write left beside its place."""
    for path in (RECORD, *(record.drop_ins if record is not None else ())):
        place = _place(root, path)
        if place.parent.is_dir():
            for stray in place.parent.glob(f".{place.name}.*.new"):
                files.remove(stray)
    above = posixpath.dirname(RECORD)
    while above != "/":
        place = _place(root, above)
        files.clear(place.with_name(_BESIDE.format(place.name)))
        above = posixpath.dirname(above)


def _refuse_others(root: Path, record: Record, changes: Iterable[Change]) -> None:
    for change in changes:
        place = _place(root, change.path)
        if os.path.lexists(place) and not _is_ours(place, record.drop_ins.get(change.path)):
            raise errors.ClientError(_not_ours(change.path))


def _is_ours(place: Path, recorded: str | None) -> bool:
    if place.is_symlink() or not place.is_file():
        return False
    text = files.read_text(place)
    return text.startswith(HEADER) or digest(text) == recorded


def _place(root: Path, path: str) -> Path:
    folder, name = posixpath.split(path)
    return unitfiles.inside(root, folder) / name


def _alone(root: Path) -> contextlib.AbstractContextManager[None]:
    """Keep a second one of us out."""
    text = f"another `tidegate units` is at work on {root}"
    hint = "try again when it has ended"
    return files.alone(root, Trouble(code="units.busy", text=text, hint=hint))


def _not_ours(path: str) -> Trouble:
    return Trouble(
        code="units.not-ours",
        text=f"{path} has one of our names, and somebody else wrote it",
        hint="look at it, and move it away or give it another name",
    )


def _unusable(place: Path, problem: str) -> errors.ClientError:
    return errors.ClientError(
        Trouble(
            code="units.record-unusable",
            text=f"{place} cannot be used: {problem}",
            hint="move it away: drop-ins of ours are known by their first line as well",
        )
    )
