# SPDX-License-Identifier: Apache-2.0
"""The JSON that scripts rely on: its keys stay, and it can be read back by any JSON reader."""

import json

import msgspec
from tests.hand_made import instance, offline, snapshot

from tidegate.core.snapshot import Source
from tidegate.health import why
from tidegate.report import document

FINDING = {
    *("code", "grade", "subject", "observed", "expected", "remedy", "source", "age", "since"),
    *("waiting", "muted"),
}


def test_the_status_document_keeps_its_keys() -> None:
    shown = document.status(offline(), snapshot(), sentence="waits")
    plain = json.loads(json.dumps(msgspec.to_builtins(shown)))
    assert set(plain) == {
        *("format", "node", "boot_id", "at", "grade", "sentence", "subjects", "findings"),
        "sources",
    }
    assert plain["format"] == 1
    assert (plain["grade"], plain["sentence"], plain["node"]) == ("failing", "waits", "n1")
    assert {frozenset(one) for one in plain["subjects"]} == {
        frozenset({"subject", "grade", "ready", "wanted", "rests_on", "summary"})
    }
    assert {frozenset(one) for one in plain["findings"]} == {frozenset(FINDING)}
    assert set(plain["sources"]) == set(map(str, Source))
    assert set(plain["sources"]["linstor"]) == {"liveness", "since", "answered_at", "trouble"}


def test_subjects_are_texts_that_a_command_takes() -> None:
    shown = document.status(offline(), snapshot())
    names = [one["subject"] for one in shown["subjects"]]
    assert "instance/default/c1" in names
    assert "volume/incus-volume-c1/0" in names
    (c1,) = [one for one in shown["subjects"] if one["subject"] == "instance/default/c1"]
    assert c1["rests_on"] == ["incus", "volume/incus-volume-c1/0"]


def test_the_chain_document_ends_in_the_first_cause() -> None:
    found, subject = offline(), instance("c1")
    asked = found.state(subject)
    assert asked is not None
    shown = document.chain(found, asked, why.why(found, subject))
    assert set(shown) == {
        *("format", "node", "at", "subject", "grade", "ready", "summary", "chain"),
        "first_cause",
    }
    assert shown["first_cause"]["code"] == "satellite.offline"
    assert shown["chain"][-1] == shown["first_cause"]
    assert document.chain(found, asked, ())["first_cause"] is None
