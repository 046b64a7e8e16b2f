# SPDX-License-Identifier: Apache-2.0
"""What is watched fits on the screen: the worst stays at its top."""

import pytest

from tidegate.cli import status


@pytest.mark.parametrize("height", [3, 10, 24])
def test_a_long_status_is_cut_to_the_screen_and_says_so(height: int) -> None:
    shown = status._on_one_screen("".join(f"line {n}\n" for n in range(50)), height).splitlines()
    assert len(shown) < height
    assert shown[0] == "line 0"
    assert shown[-1] == f"  … {50 - len(shown) + 1} lines more: tidegate status"


def test_a_short_one_is_shown_whole() -> None:
    assert status._on_one_screen("one\ntwo\n", 24) == "one\ntwo\n"
