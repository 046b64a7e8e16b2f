# SPDX-License-Identifier: Apache-2.0
"""The search path as a value, and one unit merged from it: main file, drop-ins, aliases, masks, ``.wants`` directories.

Rules: man systemd.unit(5), "Unit File Load Path"; what the manual leaves open was seen in systemd 252 (tests/contract/units).
"""

import enum
import posixpath
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tidegate.units import names, parse
from tidegate.units.parse import Setting

SEARCH: Final = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
"""Directories of the system manager, the one that wins first. Generators' output is among them."""

_MASK: Final = "/dev/null"
_DEEPEST_LINK: Final = 16
_PULLS: Final = {"wants": "Wants", "requires": "Requires", "upholds": "Upholds"}
_DEPENDENCIES: Final = frozenset(
    {
        *("After", "Before", "Requires", "Wants", "BindsTo", "Requisite", "Upholds", "PartOf"),
        *("Conflicts", "RequiresMountsFor", "WantsMountsFor", "Sockets", "OnFailure", "OnSuccess"),
    }
)
"""Lists that an empty assignment does not reset: a dependency can only be added by a drop-in, never taken away."""


class File(msgspec.Struct, frozen=True):
    """A file with its text."""

    text: str


class Link(msgspec.Struct, frozen=True):
    """A symbolic link with its target, as written."""

    target: str


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Every unit file of a host by its absolute path (within the host's root), and where links that leave lead to."""

    entries: Mapping[str, File | Link]
    search: tuple[str, ...] = SEARCH

    def with_files(self, files: Mapping[str, str]) -> "Tree":
        """Return the tree with ``files`` (path to text) written into it."""
        added = {path: File(text) for path, text in files.items()}
        return msgspec.structs.replace(self, entries={**self.entries, **added})

    def text(self, path: str) -> str | None:
        """Return the text of the file at ``path``; None when there is none."""
        entry = self.entries.get(path)
        return entry.text if isinstance(entry, File) else None


class Load(enum.StrEnum):
    """What became of a unit's file, in systemd's words."""

    LOADED = "loaded"
    NOT_FOUND = "not-found"
    MASKED = "masked"
    BAD = "bad-setting"


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency made by a name in a ``.wants``, ``.requires`` or ``.upholds`` directory."""

    key: str
    other: str
    path: str


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit as systemd would have it after all files are read."""

    name: str
    load: Load
    path: str | None = None
    """The main file; None for a unit that needs none (a slice) or has none."""
    drop_ins: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other names of it."""
    settings: tuple[Setting, ...] = ()
    """Every assignment of main file, then drop-ins, in the order they count."""
    pulls: tuple[Pull, ...] = ()
    complaint: str = ""
    """Why it is BAD."""

    @property
    def kind(self) -> str:
        """Its type: ``service``, ``socket``, ..."""
        return names.kind(self.name)

    def assignments(self, section: str, key: str) -> tuple[Setting, ...]:
        """Return the assignments of ``key`` that count: after the last empty one, where that resets."""
        found: list[Setting] = []
        for setting in self.settings:
            if setting.key != key or setting.section != section:
                continue
            if setting.value:
                found.append(setting)
            elif key not in _DEPENDENCIES:
                found.clear()
        return tuple(found)

    def last(self, section: str, key: str) -> Setting | None:
        """Return the one assignment of ``key`` that counts, for settings that have one value."""
        found = self.assignments(section, key)
        return found[-1] if found else None

    def value(self, section: str, key: str, default: str = "") -> str:
        """Return the value of ``key``, specifiers filled in."""
        setting = self.last(section, key)
        return default if setting is None else names.expand(setting.value, self.name)

    def flag(self, section: str, key: str, *, default: bool) -> bool:
        """Return the truth value of ``key``."""
        found = parse.truth(self.value(section, key))
        return default if found is None else found

    def listed(self, section: str, key: str) -> Iterator[tuple[str, Setting]]:
        """Yield every word of the list ``key``, specifiers filled in, with where it is written.

        In lists of units quotes have no meaning: systemd takes them for part of a name, which it then refuses.
        """
        is_plain = key in _DEPENDENCIES and not key.endswith("MountsFor")
        for setting in self.assignments(section, key):
            for word in setting.value.split() if is_plain else parse.words(setting.value):
                yield names.expand(word, self.name), setting


class Index:
    """The tree made ready to look units up; built once, then only read."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._paths: dict[str, str] = {}
        self._folders: dict[str, list[tuple[int, str]]] = {}
        self._aliases: dict[str, list[str]] = {}
        rank = {folder: place for place, folder in enumerate(tree.search)}
        placed = [(rank_of, path) for path in tree.entries if (rank_of := _rank(path, rank)) >= 0]
        for place, path in sorted(placed):
            folder, base = posixpath.split(path)
            if folder not in rank:
                self._folders.setdefault(posixpath.basename(folder), []).append((place, path))
            elif names.kind(base):
                self._paths.setdefault(base, path)
        for name in self._paths:
            canonical = self.canonical(name)
            if canonical != name:
                self._aliases.setdefault(canonical, []).append(name)

    def names(self) -> tuple[str, ...]:
        """Return every name that has a file or link, templates included, in order."""
        return tuple(sorted(self._paths))

    def pulled_in_by(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return (unit, path) of every ``.wants`` or ``.requires`` directory that holds ``name``, also of units that are not there."""
        found: list[tuple[str, str]] = []
        for folder, places in self._folders.items():
            holder, _, suffix = folder.rpartition(".")
            if suffix in _PULLS and names.kind(holder):
                found.extend(
                    (holder, path) for _, path in places if posixpath.basename(path) == name
                )
        return tuple(sorted(found))

    def canonical(self, name: str) -> str:
        """Return the unit's own name when ``name`` is an alias; else ``name``."""
        return self._resolve(name)[0]

    def _resolve(self, name: str) -> tuple[str, str | None]:
        """Return the unit's own name, and the path of its file, ``/dev/null`` when masked, None when there is none."""
        for _ in range(_DEEPEST_LINK):
            path = self._paths.get(name) or self._paths.get(names.template(name))
            if path is None:
                return name, None
            name, path = self._follow(name, path)
            if path is not None:
                return name, path
        return name, None

    def _follow(self, name: str, path: str) -> tuple[str, str | None]:
        """Follow links from ``path``; a path of None says: look the returned name up."""
        for _ in range(_DEEPEST_LINK):
            entry = self.tree.entries.get(path)
            if not isinstance(entry, Link):
                empty = entry is not None and not entry.text
                return name, _MASK if empty else path
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target))
            if target == _MASK:
                return name, _MASK
            folder, base = posixpath.split(target)
            if folder in self.tree.search and base != posixpath.basename(path):
                instance = names.parts(name)[1]
                filled = names.instantiate(base, instance) if names.is_template(base) else base
                if filled != name:
                    return filled, None
            path = target
        return name, None

    def unit(self, name: str) -> Unit:
        """Return the unit ``name`` (or that it is an alias of), merged. Never raises: what is not there is NOT_FOUND."""
        own, path = self._resolve(name)
        others = self._others(own, name)
        if path == _MASK:
            return Unit(name=own, load=Load.MASKED, path=self._paths.get(own), aliases=others)
        pulls = tuple(self._pulls(own, others))
        text = self.tree.text(path) if path is not None else None
        if text is None and not _needs_no_file(own):
            return Unit(name=own, load=Load.NOT_FOUND, aliases=others, pulls=pulls)
        settings = list(parse.settings(text, path)) if text is not None and path else []
        drop_ins = tuple(self.drop_ins(own, others))
        for place in drop_ins:
            settings.extend(parse.settings(self._content(place), place))
        found = Unit(
            name=own,
            load=Load.LOADED,
            path=path if text is not None else None,
            drop_ins=drop_ins,
            aliases=others,
            settings=tuple(settings),
            pulls=pulls,
        )
        complaint = _complaint(found)
        if not complaint:
            return found
        return msgspec.structs.replace(found, load=Load.BAD, complaint=complaint)

    def _others(self, own: str, asked: str) -> tuple[str, ...]:
        others = set(self._aliases.get(own, ()))
        instance = names.parts(own)[1]
        for alias in self._aliases.get(names.template(own), ()):
            others.add(names.instantiate(alias, instance) if names.is_template(alias) else alias)
        return tuple(sorted((others | {asked}) - {own}))

    def drop_ins(self, own: str, others: tuple[str, ...]) -> Iterator[str]:
        """Yield the paths of drop-ins in the order they count: by file name; of equal names the first directory's."""
        chosen: dict[str, str] = {}
        for path in self._beside(own, others, "d"):
            base = posixpath.basename(path)
            if base.endswith(".conf") and not base.startswith("."):
                chosen.setdefault(base, path)
        for base in sorted(chosen):
            if not self._is_mask(chosen[base]):
                yield chosen[base]

    def _pulls(self, own: str, others: tuple[str, ...]) -> Iterator[Pull]:
        for suffix, key in _PULLS.items():
            seen: set[str] = set()
            for path in self._beside(own, others, suffix):
                base = posixpath.basename(path)
                if base in seen or not names.kind(base):
                    continue
                seen.add(base)
                if names.is_template(base):
                    base = names.instantiate(base, names.parts(own)[1])
                if not self._is_mask(path) and not names.is_template(base):
                    yield Pull(key=key, other=base, path=path)

    def _beside(self, own: str, others: tuple[str, ...], suffix: str) -> Iterator[str]:
        """Yield what lies in the directories ``NAME.suffix`` of a unit, those that win first.

        Name by name; for one name by the search path, and only then by how special the directory's name is.
        """
        for stems in (*map(names.drop_in_stems, (own, *others)), (names.kind(own),)):
            found = [
                (place, special, path)
                for special, stem in enumerate(stems)
                for place, path in self._folders.get(f"{stem}.{suffix}", ())
            ]
            yield from (path for _, _, path in sorted(found))

    def _content(self, path: str) -> str:
        for _ in range(_DEEPEST_LINK):
            entry = self.tree.entries.get(path)
            if not isinstance(entry, Link):
                return "" if entry is None else entry.text
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target))
        return ""

    def _is_mask(self, path: str) -> bool:
        entry = self.tree.entries.get(path)
        return isinstance(entry, Link) and entry.target == _MASK


def _rank(path: str, rank: Mapping[str, int]) -> int:
    """Return the place of the path's directory in the search path; -1 when it is not in one."""
    folder = posixpath.dirname(path)
    return rank.get(folder, rank.get(posixpath.dirname(folder), -1))


def _needs_no_file(name: str) -> bool:
    """True for units that systemd makes without a file: slices, devices, the root mount, its own scope."""
    return names.kind(name) in {"slice", "device"} or name in {"-.mount", "init.scope"}


def _complaint(unit: Unit) -> str:
    """Return why systemd would refuse the unit; "" when it would not (man systemd.service(5), ``Type=``, ``ExecStart=``)."""
    if unit.kind != "service":
        return ""
    starts = len(unit.assignments("Service", "ExecStart"))
    kind = unit.value("Service", "Type")
    once = kind == "oneshot"
    if starts > 1 and not once:
        return f"{starts} times ExecStart= in a unit that is not Type=oneshot: reset it first by an empty one"
    if starts or unit.assignments("Unit", "SuccessAction"):
        return ""
    if not unit.assignments("Service", "ExecStop"):
        return "neither ExecStart= nor ExecStop="
    if (kind and not once) or not unit.flag("Service", "RemainAfterExit", default=False):
        return "no ExecStart=, which only Type=oneshot with RemainAfterExit=yes may be without"
    return ""
