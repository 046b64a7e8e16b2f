# SPDX-License-Identifier: Apache-2.0
"""Pages made from the code are those of this code."""

import re
from pathlib import Path

from tools import make_docs

from tidegate.units import codes

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_on_configuration_is_current() -> None:
    current = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert current == make_docs.page(), "run: .venv/bin/python tools/make_docs.py"


def test_the_page_on_findings_is_current() -> None:
    current = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert current == make_docs.findings(), "run: .venv/bin/python tools/make_docs.py"


def test_every_code_of_units_that_is_used_is_on_the_page_and_the_other_way_round() -> None:
    folder = ROOT / "src" / "tidegate" / "units"
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in folder.glob("*.py")
        if path.name not in {"codes.py", "choice.py", "plan.py", "packaging.py"}
    )
    used = set(re.findall(r"\"(units\.[a-z-]+)\"", text))
    assert used == set(codes.CODES)
    page = make_docs.findings()
    for code in codes.CODES.values():
        assert f"### `{code.code}` (" in page
        assert code.means.endswith(".")


def test_every_key_says_what_it_is_for_or_speaks_for_itself() -> None:
    silent = [
        line.split("`")[1]
        for line in make_docs.page().splitlines()
        if line.startswith("| `") and line.rstrip().endswith("|  |")
    ]
    assert {name.rpartition("_")[2] for name in silent} <= {"unit", "deadline", "use", "level"}, (
        silent
    )
