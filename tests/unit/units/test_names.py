"""Names of units; what systemd-escape says of paths."""

import subprocess

import pytest

from tidegate.units import names


def test_parts_and_kinds() -> None:
    assert names.parts("a@b.service") == ("a", "b", "service")
    assert names.kind("dev-disk-by\\x2did-a.device") == "device"
    assert [
        names.kind(name) for name in ("a", ".service", "a.conf", "@x.service", '"a".service')
    ] == [""] * 5


def test_templates() -> None:
    assert names.is_template("a@.service")
    assert not names.is_template("a@b.service")
    assert names.template("a@b.service") == "a@.service"
    assert names.template("a.service") == ""
    assert names.instantiate("a@.service", "b") == "a@b.service"


def test_drop_ins_of_dashed_names() -> None:
    assert names.drop_in_stems("a-b-c@d.service") == (
        "a-b-c@d.service",
        "a-b-c@.service",
        "a-b-.service",
        "a-.service",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%p-%i", "u-x\\x2dy"),
        ("%I", "x-y"),
        ("%n %N", "u@x\\x2dy.service u@x\\x2dy"),
        ("%S/%j", "/var/lib/u"),
        ("100%%", "100%"),
        ("%H", "%H"),
    ],
)
def test_specifiers(text: str, expected: str) -> None:
    assert names.expand(text, "u@x\\x2dy.service") == expected


PATHS = ["/", "/var/lib", "/srv/pool-1/x", "/a b", "/.hidden/x", "//double//slash/", "/srv/ä"]


@pytest.mark.needs("systemd-escape")
@pytest.mark.parametrize("path", PATHS)
def test_paths_become_the_names_that_systemd_gives_them(path: str) -> None:
    told = subprocess.run(
        ["systemd-escape", "--path", "--suffix=mount", path],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert names.from_path(path, "mount") == told.stdout.strip()


def test_a_path_and_all_above() -> None:
    assert names.above("/srv/pool/x/") == ("/srv/pool/x", "/srv/pool", "/srv", "/")
    assert names.above("/") == ("/",)
