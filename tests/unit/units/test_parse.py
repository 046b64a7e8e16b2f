"""The text of one unit file, as systemd reads it."""

import math

import pytest

from tidegate.units import parse


def pairs(text: str) -> list[tuple[str, str, str]]:
    return [(found.section, found.key, found.value) for found in parse.settings(text, "/x")]


def test_sections_keys_and_blanks() -> None:
    text = "[Unit]\n  After = a.service  b.service \n\n[Service]\nExecStart=/bin/x --a=b\n"
    assert pairs(text) == [
        ("Unit", "After", "a.service  b.service"),
        ("Service", "ExecStart", "/bin/x --a=b"),
    ]


def test_comments_and_lines_that_go_on() -> None:
    text = "[Unit]\n# After=no\n; nor this\nAfter=a \\\n# within\n  b \\\n; within\n  c\nWants=d\n"
    assert pairs(text) == [("Unit", "After", "a  b  c"), ("Unit", "Wants", "d")]


def test_a_backslash_that_is_escaped_ends_nothing() -> None:
    assert pairs("[Service]\nExecStart=/bin/x \\\\\nType=simple\n") == [
        ("Service", "ExecStart", "/bin/x \\\\"),
        ("Service", "Type", "simple"),
    ]


def test_what_systemd_ignores_is_left_out() -> None:
    assert pairs("After=early\n[Unit]\nno assignment\nAfter=\n") == [("Unit", "After", "")]


def test_a_last_line_without_an_end_counts() -> None:
    assert pairs("[Unit]\nAfter=a \\") == [("Unit", "After", "a")]


def test_a_place_names_file_and_line() -> None:
    found = parse.settings("[Unit]\n\n# c\nAfter=a \\\n b\n", "/etc/systemd/system/a.service")
    assert found[0].place == "/etc/systemd/system/a.service:4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\tc", ("a", "b", "c")),
        ("\"a b\" 'c d'", ("a b", "c d")),
        ("a'b c'd", ("ab cd",)),
        (r"dev-x\x2dy.device", (r"dev-x\x2dy.device",)),
        ('a "b c', ("a",)),
        ('""', ("",)),
        ("", ()),
    ],
)
def test_words(text: str, expected: tuple[str, ...]) -> None:
    assert parse.words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90.0),
        ("1min 30s", 90.0),
        ("1min30s", 90.0),
        ("2.5h", 9000.0),
        ("500ms", 0.5),
        ("infinity", math.inf),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("5 parsecs", None),
    ],
)
def test_seconds(text: str, expected: float | None) -> None:
    assert parse.seconds(text) == expected


def test_truth() -> None:
    assert parse.truth("Yes") is True
    assert parse.truth("off") is False
    assert parse.truth("disconnected") is None
