# SPDX-License-Identifier: Apache-2.0
"""The lab's special runs can be told, and tell what they promise."""

from pathlib import Path

import pytest
from tests.lab import __main__ as lab
from tests.lab import golden, special, tale


@pytest.mark.parametrize("name", special.TALES)
def test_each_says_what_it_is_and_can_be_told(name: str) -> None:
    module = special.TALES[name]
    assert module.SAYS
    assert module.__doc__
    assert callable(module.tell)


def test_what_ci_runs_of_them_is_there() -> None:
    assert set(lab.QUICK_SPECIAL) <= set(special.TALES)


def test_a_broken_promise_is_told_with_what_was_seen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layers = golden.Layers(base=tmp_path, deps=tmp_path, dress=tmp_path)
    told = tale.Tale("power", layers)
    told.expect(True, "d1 runs")
    told.expect(False, "c1 runs", [])
    assert told.broken == ["power: c1 runs; seen: []"]
    assert "BROKEN: c1 runs" in capsys.readouterr().out
