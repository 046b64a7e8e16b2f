# SPDX-License-Identifier: Apache-2.0
"""The event stream parser against the WHATWG rules, split at every byte."""

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recordings import DATA

from tidegate.clients.linstor import sse
from tidegate.clients.linstor.sse import Event


def parse(stream: bytes) -> list[Event]:
    return sse.Parser().feed(stream)


def one(data: str, *, name: str = "message", last_id: str = "") -> Event:
    return Event(name=name, data=data, id=last_id)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [one("a")]),
        (b"data:a\n\n", [one("a")]),
        (b"data:  a\n\n", [one(" a")]),  # one space goes, the second is data
        (b"data: a\r\rdata: b\r\n\r\n", [one("a"), one("b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [one("a")]),
        (b"data: a\n\xef\xbb\xbfdata: b\n\n", [one("a")]),  # a BOM only at the start
        (b"data: a\ndata: b\ndata\n\n", [one("a\nb\n")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [one("a", name="x"), one("b")]),
        (b"event: x\n\n", []),  # no data, no event, and the name is forgotten
        (b"event: x\n\ndata: a\n\n", [one("a")]),
        (b": keepalive\n\ndata: a\n:x\n\n", [one("a")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [one("a", last_id="7"), one("b", last_id="7")]),
        (b"id: 7\n\nid: 8\x00\ndata: b\n\n", [one("b", last_id="7")]),
        (b"data\n\n", [one("")]),
        (b"nonsense: a\ndata: b\n\n", [one("b")]),
        (b"data: a\n", []),  # cut off by the end of the stream
        (b"data: \xff\n\n", [one("\ufffd")]),
        ("data: täglich\n\n".encode(), [one("täglich")]),
        ("data: a\u2028b\n\n".encode(), [one("a\u2028b")]),  # no line end in this format
    ],
)
def test_rules(stream: bytes, expected: list[Event]) -> None:
    assert parse(stream) == expected


def test_retry_is_kept_and_nonsense_ignored() -> None:
    parser = sse.Parser()
    parser.feed(b"retry: 1500\nretry: soon\nretry: -1\n\n")
    assert parser.retry == 1500


pieces = st.lists(
    st.sampled_from(
        [
            b"data: a",
            b"data: b\xc3\xa4",
            b"data",
            b"event: may-promote-change",
            b"id: 1",
            b"id",
            b": comment",
            b"",
            b"retry: 5",
            b"\xef\xbb\xbf",
        ]
    ),
    max_size=12,
)
ends = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=13, max_size=13)


@given(pieces, ends, st.booleans(), st.lists(st.integers(min_value=0, max_value=200)))
def test_where_the_network_splits_makes_no_difference(
    lines: list[bytes], line_ends: list[bytes], bom: bool, cuts: list[int]
) -> None:
    stream = (b"\xef\xbb\xbf" if bom else b"") + b"".join(
        itertools.chain.from_iterable(zip(lines, line_ends, strict=False))
    )
    at = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    parser = sse.Parser()
    found = [event for a, b in itertools.pairwise(at) for event in parser.feed(stream[a:b])]
    assert found == parse(stream)


@given(pieces, ends)
def test_byte_by_byte(lines: list[bytes], line_ends: list[bytes]) -> None:
    stream = b"".join(itertools.chain.from_iterable(zip(lines, line_ends, strict=False)))
    parser = sse.Parser()
    found = [event for byte in stream for event in parser.feed(bytes([byte]))]
    assert found == parse(stream)


def test_an_event_is_bounded_however_it_comes() -> None:
    with pytest.raises(sse.TooLongError):
        sse.Parser(limit=100).feed(b"data: " + b"x" * 200)  # one endless line
    parser = sse.Parser(limit=100)
    for _ in range(11):
        assert parser.feed(b"data: abc\n") == []
    with pytest.raises(sse.TooLongError):  # an event without end
        parser.feed(b"data: abc\n")
    parser = sse.Parser(limit=100)
    for _ in range(50):  # many events are no trouble
        assert parser.feed(b"data: abc\n\n") == [one("abc")]
    for _ in range(50):
        assert parser.feed(b": still here, nothing new\n") == []


def test_events_of_a_real_controller() -> None:
    with gzip.open(DATA / "linstor" / "a_healthy.jsonl.gz", "rt") as lines:
        raw = next(
            record["sse_raw_chunks"]
            for record in map(json.loads, lines)
            if record["path"] == "/v1/events/nodes"
        )
    parser = sse.Parser()
    # The recording is of the socket: take off the chunked transfer coding.
    body = "".join(text for _, text in raw).partition("\r\n\r\n")[2].encode()
    events = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        events += parser.feed(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    assert [event.name for event in events] == ["node-modified", "node-create", "node-delete"]
    assert json.loads(events[1].data)["node"]["name"] == "tmpnode"
    first = json.loads(events[0].data)
    assert first["old_node"]["name"] == "n2"
    assert first["old_node"]["connection_status"] == "ONLINE"
