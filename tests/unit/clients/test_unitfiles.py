"""Unit files below any root: links stay within it, nothing is read twice, what cannot be read is named."""

import os
from pathlib import Path

import pytest

from tidegate.clients import errors, unitfiles
from tidegate.units.tree import File, Index, Link, Load

PLAIN = "[Service]\nExecStart=/bin/true\n"


def put(root: Path, path: str, text: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if text.startswith("-> "):
        place.symlink_to(text.removeprefix("-> "))
    else:
        place.write_text(text)


def test_files_drop_ins_and_links_are_read_with_paths_within_the_root(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/systemd/system/a.service", PLAIN)
    put(tmp_path, "/etc/systemd/system/a.service.d/x.conf", "[Unit]\n")
    put(
        tmp_path,
        "/etc/systemd/system/m.target.wants/a.service",
        "-> /usr/lib/systemd/system/a.service",
    )
    put(tmp_path, "/etc/systemd/system/unrelated/x", "no unit")
    assert dict(unitfiles.read(tmp_path).entries) == {
        "/usr/lib/systemd/system/a.service": File(PLAIN),
        "/etc/systemd/system/a.service.d/x.conf": File("[Unit]\n"),
        "/etc/systemd/system/m.target.wants/a.service": Link("/usr/lib/systemd/system/a.service"),
    }


def test_an_absolute_link_leads_into_the_root_and_never_out_of_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "b.service").write_text(PLAIN)
    put(root, "/opt/x/a.service", PLAIN)
    put(root, "/etc/systemd/system/a.service", "-> /opt/x/a.service")
    put(root, "/etc/systemd/system/b.service", "-> ../../../../outside/b.service")
    tree = unitfiles.read(root)
    assert tree.text("/opt/x/a.service") == PLAIN
    assert Index(tree).unit("a.service").load is Load.LOADED
    assert Index(tree).unit("b.service").load is Load.NOT_FOUND


def test_lib_that_is_a_link_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/systemd/system/a.service", PLAIN)
    put(tmp_path, "/lib", "-> usr/lib")
    assert list(unitfiles.read(tmp_path).entries) == ["/usr/lib/systemd/system/a.service"]


def test_a_drop_in_directory_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/systemd/system/a.service", PLAIN)
    put(tmp_path, "/opt/d/x.conf", "[Unit]\nAfter=b.service\n")
    put(tmp_path, "/etc/systemd/system/a.service.d", "-> /opt/d")
    found = Index(unitfiles.read(tmp_path)).unit("a.service")
    assert [word for word, _ in found.listed("Unit", "After")] == ["b.service"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/system/a.service", "-> b.service")
    put(tmp_path, "/etc/systemd/system/b.service", "-> a.service")
    put(tmp_path, "/etc/systemd/system/c.service.d", "-> c.service.d")
    assert Index(unitfiles.read(tmp_path)).unit("a.service").load is Load.NOT_FOUND


def test_a_root_without_units_is_empty(tmp_path: Path) -> None:
    assert unitfiles.read(tmp_path).entries == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who may not read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/system/a.service", PLAIN)
    (tmp_path / "etc/systemd/system/a.service").chmod(0)
    with pytest.raises(errors.ClientError, match=r"a\.service"):
        unitfiles.read(tmp_path)


def test_what_is_too_big_for_a_unit_is_named(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/system/a.service", "#" * (1024 * 1024 + 1))
    with pytest.raises(errors.ClientError, match=r"a\.service"):
        unitfiles.read(tmp_path)
