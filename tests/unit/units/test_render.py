"""Texts of drop-ins, and which files are ours."""

import math

import pytest

from tidegate.units import render


def test_a_drop_in_says_who_wrote_it_why_and_how_it_goes() -> None:
    text = render.drop_in("Because.\nAnd so.", {"Unit": ["After=a.service"], "Service": []})
    head, body = text.split("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    assert "tidegate units remove" in head
    assert "# Because.\n# And so." in head
    assert body == "[Unit]\nAfter=a.service\n"


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/etc/systemd/system/incus.service.d/60-tidegate-gate.conf", True),
        ("/etc/systemd/system/incus.service.d/override.conf", False),
        ("/etc/systemd/system/60-tidegate-gate.conf", False),
        ("/usr/lib/systemd/system/incus.service.d/60-tidegate-gate.conf", False),
        ("/etc/systemd/system/incus.service.wants/60-tidegate-gate.conf", False),
    ],
)
def test_only_our_own_names_in_our_own_place_are_ours(path: str, *, ours: bool) -> None:
    assert render.is_ours(path) is ours


def test_differences_of_new_changed_and_removed_files() -> None:
    assert render.difference("/a", None, "x\n").startswith("--- /dev/null\n+++ /a\n")
    assert "-x\n+y\n" in render.difference("/a", "x\n", "y\n")
    assert "+++ /dev/null\n" in render.difference("/a", "x\n", None)
    assert "\\ No newline at end of file\n" in render.difference("/a", "x", "y\n")
    assert render.difference("/a", "x\n", "x\n") == ""


def test_spans() -> None:
    assert render.seconds(900.0) == "900s"
    assert render.seconds(0.5) == "0.5s"
    assert render.seconds(math.inf) == "infinity"
