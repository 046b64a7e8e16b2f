# SPDX-License-Identifier: Apache-2.0
"""The text of an EnvironmentFile=, as systemd reads it."""

from tidegate.config import environment


def test_a_file_as_systemd_reads_it() -> None:
    text = (
        "# a comment\n; another\n\nLS_CONTROLLERS=http://a,http://b\n  SPACED = kept \n"
        'QUOTED="a b"\nSINGLE=\'c d\'\nLONG=one\\\ntwo\nLS_CONTROLLERS=last\nnot an assignment\nBROKEN="open\n'
    )
    assert environment.parse_file(text) == {
        "LS_CONTROLLERS": "last",
        "SPACED": "kept",
        "QUOTED": "a b",
        "SINGLE": "c d",
        "LONG": "onetwo",
        "BROKEN": '"open',
    }


def test_the_property_environment() -> None:
    assert environment.parse_assignments(["A=1", "B=x=y", "no", "=z"]) == {"A": "1", "B": "x=y"}
