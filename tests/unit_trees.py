"""Trees of unit files for tests: the packagings of ``tests/data/units``, with changes."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import unitfiles
from tidegate.units.deadlock import Controller, Place
from tidegate.units.graph import Graph
from tidegate.units.host import HostView
from tidegate.units.tree import File, Index, Link, Tree

DATA: Final = Path(__file__).parent / "data" / "units"
PACKAGINGS: Final = ("debian", "ubuntu-ppa", "zabbly", "source")
OWN: Final = Path(__file__).parent.parent / "packaging" / "systemd"
ETC: Final = "/etc/systemd/system"
ELSEWHERE: Final = Controller(place=Place.OTHER_HOST)


def host_tree(packaging: str, files: dict[str, str] | None = None) -> Tree:
    """The units of a host with this packaging; ``files`` (path to text, ``-> x`` for a link to x) come on top."""
    base, own = unitfiles.read(DATA / "base"), unitfiles.read(DATA / packaging)
    added = {
        path: Link(text.removeprefix("-> ")) if text.startswith("-> ") else File(text)
        for path, text in (files or {}).items()
    }
    return Tree(entries={**base.entries, **own.entries, **added})


def written(packaging: str, root: Path) -> Path:
    """The same on disk below ``root``, with Tidegate's units; returns ``root``."""
    for part in ("base", packaging):
        shutil.copytree(DATA / part, root, symlinks=True, dirs_exist_ok=True)
    for name, text in own_units().items():
        (root / "usr/lib/systemd/system" / name).write_text(text)
    return root


def graph_of(units: dict[str, str], *roots: str) -> Graph:
    """The graph of a small set of units, as ``tests.contract.units.unit_sets`` has them."""
    entries = {
        f"{ETC}/{name}": Link(text.removeprefix("-> ")) if text.startswith("-> ") else File(text)
        for name, text in units.items()
    }
    return Graph(Index(Tree(entries=entries)), roots or ("boot.target",))


def own_units() -> dict[str, str]:
    """Tidegate's own units, as they are shipped."""
    return {path.name: path.read_text() for path in sorted(OWN.iterdir())}


def host(
    packaging: str = "debian", files: dict[str, str] | None = None, **known: object
) -> HostView:
    """A host on which nothing is wrong but what is said: the controller runs elsewhere unless ``known`` says otherwise."""
    view = HostView(
        tree=host_tree(packaging, files),
        controller=ELSEWHERE,
        own_units=own_units(),
        storage_pools=(),
    )
    return msgspec.structs.replace(view, **known)
