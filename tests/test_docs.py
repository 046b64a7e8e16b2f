# SPDX-License-Identifier: Apache-2.0
"""Pages made from the code are those of this code."""

from pathlib import Path

from tools import make_docs

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_on_configuration_is_current() -> None:
    current = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert current == make_docs.page(), "run: .venv/bin/python tools/make_docs.py"


def test_every_key_says_what_it_is_for_or_speaks_for_itself() -> None:
    silent = [
        line.split("`")[1]
        for line in make_docs.page().splitlines()
        if line.startswith("| `") and line.rstrip().endswith("|  |")
    ]
    assert {name.rpartition("_")[2] for name in silent} <= {"unit", "deadline", "use", "level"}, (
        silent
    )
