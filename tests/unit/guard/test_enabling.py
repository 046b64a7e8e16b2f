# SPDX-License-Identifier: Apache-2.0
"""What is done to Incus's setting, and that it always finds back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.ids import NodeName
from tidegate.core.trouble import Trouble
from tidegate.guard import enabling, record
from tidegate.guard.enabling import Intent, Member, Seen
from tidegate.guard.record import URL, Form, Record

REAL = "http://10.0.0.1:3370"
ALL = (Member(name="n1", status="Online"), Member(name="n2", status="Online"))
KEPT = Record(
    node=NodeName("n1"),
    form=Form.CLUSTER,
    controllers=(REAL,),
    key="-----BEGIN PRIVATE KEY-----",
    controller_password="hunter2",
    secret="s3cret",
    old="10.0.0.1",
    new=f"{URL},10.0.0.1",
)


def seen(**changes: Any) -> Seen:
    return msgspec.structs.replace(Seen(key="", controllers=(REAL,)), **changes)


def intent(found: Seen, asked: Form | None = None) -> Intent:
    decided = enabling.enable(found, asked)
    assert isinstance(decided, Intent), decided
    return decided


def test_an_empty_key_is_left_empty_and_the_node_alone_is_told() -> None:
    decided = intent(seen(members=ALL))
    assert decided.form is Form.NODE
    assert decided.steps == ()
    assert any("restart" in note for note in decided.notes)


def test_a_key_that_is_set_first_proves_every_members_guard() -> None:
    decided = intent(seen(key="10.0.0.1,https://10.0.0.2:3371", members=ALL))
    assert decided.form is Form.CLUSTER
    assert decided.steps == (URL, f"{URL},10.0.0.1,https://10.0.0.2:3371")
    assert decided.old == "10.0.0.1,https://10.0.0.2:3371"


def test_asked_for_the_cluster_form_with_an_empty_key_the_found_controllers_stand_behind() -> None:
    assert intent(seen(members=ALL), Form.CLUSTER).steps == (URL, f"{URL},{REAL}")


def test_enabled_already_there_is_nothing_to_do() -> None:
    assert intent(seen(key=f"{URL},10.0.0.1", members=ALL)).steps == ()


@pytest.mark.parametrize(
    ("found", "asked", "code"),
    [
        (seen(controllers=()), None, "guard.no-controller"),
        (seen(key="10.0.0.1"), Form.NODE, "guard.key-set"),
        (
            seen(key="10.0.0.1", members=(*ALL, Member(name="n3", status="Offline"))),
            None,
            "guard.member-away",
        ),
    ],
)
def test_what_cannot_be_proven_is_refused(found: Seen, asked: Form | None, code: str) -> None:
    decided = enabling.enable(found, asked)
    assert isinstance(decided, Trouble)
    assert decided.code == code
    assert decided.hint


def test_a_host_whose_incusd_needs_its_pool_is_told_to_take_the_gate() -> None:
    notes = intent(seen(fatal=("storage.images_volume",))).notes
    assert any("storage.images_volume" in note and "gate" in note for note in notes)


@pytest.mark.parametrize(
    ("now", "back"),
    [
        (KEPT.new, "10.0.0.1"),
        (URL, "10.0.0.1"),
        ("10.0.0.1", None),
        ("", None),
        (f"{URL},10.0.0.9", "10.0.0.9"),
        (f"10.0.0.9,{URL}", "10.0.0.9"),
        ("127.0.0.1:13370,10.0.0.1", "10.0.0.1"),
    ],
)
def test_disable_gives_back_what_was_there_and_keeps_what_others_changed(
    now: str, back: str | None
) -> None:
    assert enabling.disable(KEPT, now) == back


@given(
    st.lists(
        st.sampled_from(["10.0.0.1", "https://c2", "http://c3:3370", "127.0.0.1:13370", URL]),
        max_size=5,
    )
)
def test_whatever_stood_there_comes_back_without_the_guard(listed: list[str]) -> None:
    key = ",".join(listed)
    final = enabling.value(key, (REAL,))
    assert enabling.names_guard(final)
    assert final.count("13370") == 1
    kept = msgspec.structs.replace(KEPT, old=enabling.without_guard(key), new=final)
    assert enabling.disable(kept, final) == enabling.without_guard(key)


def test_own_login_of_incus_is_left_alone() -> None:
    assert enabling.has_login({"LS_USERNAME": "me"})
    assert enabling.has_login({"LS_BEARER_TOKEN_FILE": "/x"})
    assert not enabling.has_login({"LS_CONTROLLERS": "x"})


def test_the_record_comes_back_as_it_was_written_and_shows_no_secret() -> None:
    again = record.read(record.written(KEPT))
    assert again == KEPT
    assert not any(text in repr(again) for text in ("hunter2", "s3cret", "PRIVATE"))
    assert again.endpoints.urls == (REAL,)
    assert "hunter2" not in repr(again.endpoints)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"node": "n1", "form": "moon", "controllers": ["x"]}']
)
def test_a_damaged_record_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="it cannot be read"):
        record.read(data)


@pytest.mark.parametrize("changes", [{"format": 2}, {"controllers": ()}])
def test_a_record_that_is_of_no_use_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it "):
        record.read(record.written(msgspec.structs.replace(KEPT, **changes)))
