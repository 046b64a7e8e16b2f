# SPDX-License-Identifier: Apache-2.0
"""What a person sees must line up, fit, and never be commanded by a peer's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.finding import Grade
from tidegate.report.terminal import Style, Terminal, duration, harmless


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.34, "0.3 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (245, "4 min 5 s"),
        (7800, "2 h 10 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_lengths_of_time_read_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text())
def test_no_message_can_command_the_terminal(text: str) -> None:
    shown = harmless(text)
    assert all(char.isprintable() for char in shown)


def test_escape_sequences_of_a_peer_are_shown_not_obeyed() -> None:
    assert harmless("\x1b[2Jgone") == "\\x1b[2Jgone"


def test_a_pipe_gets_no_colour_and_a_screen_does() -> None:
    assert Terminal(color=False).grade(Grade.FAILING) == "failing"
    assert Terminal(color=True).grade(Grade.FAILING) == f"{Style.BAD}failing\x1b[0m"


@given(st.text(alphabet="abcdefg ", min_size=1, max_size=400), st.integers(40, 200))
def test_wrapped_text_fits_the_screen(text: str, width: int) -> None:
    lines = Terminal(width=width).wrap(text, indent=4).splitlines()
    too_long = [line for line in lines if len(line) > width and " " in line.strip()]
    assert too_long == []
