# SPDX-License-Identifier: Apache-2.0
"""A boot as a person reads it: the verdict first, then the cause with its lines, what was hit, what to do; in every format."""

import html.parser
import json
import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import boots_made

from tidegate.boot.model import BootAnalysis, Evidence, Phase, Status
from tidegate.report import boot_html, boot_json, boot_parts, boot_svg, boot_text
from tidegate.report.terminal import Terminal

TERMINAL = Terminal(width=120)


def test_the_page_tells_verdict_cause_time_line_hit_and_remedy_in_this_order() -> None:
    text = boot_text.show(boots_made.boot(), TERMINAL)
    places = [
        text.index(part)
        for part in (
            "something stayed down",
            "c2 stayed down, because the satellite was late",
            "First cause",
            "the satellite was ready only 25.0 s after boot",
            "Node n1 is offline",
            "What to do: order incus.service after it",
            "Time line",
            "start of the JVM",
            "What was hit",
            "instance/default/c2",
            "What the last one waited for",
            "would have been 36 s earlier",
        )
    ]
    assert places == sorted(places)
    assert len(text.splitlines()) < 60, "a page that is read in a minute"
    assert max(map(len, text.splitlines())) <= 125


def test_explaining_leaves_nothing_out() -> None:
    text = boot_text.explain(boots_made.boot(), TERMINAL)
    for part in (
        "not seen: no line",
        "or: controller.late; this would tell",
        "incus.service began 22.5 s before",
        "the pool was asked for meanwhile",
        "7 × foo",
        "note: the clock stepped",
    ):
        assert part in " ".join(text.split()), part


@pytest.mark.parametrize("render", [boot_text.show, boot_text.explain])
def test_no_message_commands_the_terminal(render: Any) -> None:
    text = render(boots_made.boot(), TERMINAL)
    assert "\x1b" not in text
    assert "\\x1b[2J" in text


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_word_and_a_grade(status: Status) -> None:
    text = boot_text.listing([(0, boots_made.boot(status=status))], TERMINAL)
    assert boot_parts.WORDS[status] in text
    assert boot_parts.GRADES[status] in {"ok", "degraded", "unknown", "failing"}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_boot_of_which_nothing_is_known_is_shown_too(width: int) -> None:
    empty = BootAnalysis()
    for render in (boot_text.show, boot_text.explain):
        assert "undecided" in render(empty, Terminal(width=width))
    assert "<h1>" in boot_html.render(empty)
    ET.fromstring(boot_svg.render(empty))


def test_two_boots_side_by_side() -> None:
    text = boot_text.compare(boots_made.comparison(), TERMINAL)
    assert "last instance" in text
    assert "+40.0 s" in text
    assert "New: satellite.late" in text
    plain = json.loads(json.dumps(boot_json.compare(boots_made.comparison())))
    assert [change["delta"] for change in plain["changes"]] == [40.0, None]


def test_json_has_verdict_causes_in_order_and_lines() -> None:
    plain = json.loads(json.dumps(boot_json.show(boots_made.boot())))
    assert plain["first_causes"] == ["satellite.late satellite"]
    first = plain["causes"][0]
    assert (first["code"], first["confidence"]) == ("satellite.late", "certain")
    assert first["evidence"][0]["line"] == 4


class Page(html.parser.HTMLParser):
    """What a browser would make of it, roughly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown += data


def test_markup_in_a_message_is_text_on_the_page_and_nothing_comes_from_elsewhere() -> None:
    page = Page(boot_html.render(boots_made.boot()))
    assert [tag for tag, _ in page.tags].count("script") == 1, "only our own"
    assert "img" not in {tag for tag, _ in page.tags}
    assert "<script>document.title='owned'</script>" in page.shown
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, value)
    assert "style" not in {name for _, attributes in page.tags for name in attributes}


def test_the_picture_is_well_formed_and_has_a_bar_for_everything() -> None:
    root = ET.fromstring(boot_svg.render(boots_made.boot()))
    names = root.iter("{http://www.w3.org/2000/svg}rect")
    assert len(list(names)) == 5


@given(st.text(max_size=60), st.floats(-10, 1e6), st.floats(-10, 1e6))
def test_whatever_a_journal_holds_the_pages_hold_together(
    text: str, begin: float, end: float
) -> None:
    line = Evidence(at=begin, wall=None, who=text, text=text, source=text, line=1)
    told = boots_made.boot(
        hostname=text,
        verdict=text,
        boot=text,
        length=end,
        phases=(Phase(name=text, title=text, subject=text, begin=begin, end=end, lane=text),),
        causes=(
            msgspec.structs.replace(
                boots_made.CAUSE, sentence=text, subject=text, begin=begin, evidence=(line,)
            ),
        ),
    )
    ET.fromstring(boot_svg.render(told))
    page = Page(boot_html.render(told))
    assert [tag for tag, _ in page.tags].count("script") == 1
    for render in (boot_text.show, boot_text.explain):
        shown = render(told, TERMINAL)
        assert all(char.isprintable() or char == "\n" for char in shown)
