# SPDX-License-Identifier: Apache-2.0
"""What becomes of answers about volumes: never an empty list, never a missing path, never a hold for what runs."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard_calls import LOST, answer, volumes

from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.trouble import Trouble
from tidegate.guard import volumes as rules
from tidegate.guard.interface import Answer, CallClass
from tidegate.guard.volumes import Held, Turn

DEVICE = "/dev/drbd1001"
READY = Held(ready=True, paths={"0": DEVICE})
MISSING = Held(ready=False, code="device.missing", text=f"{DEVICE} does not exist for 3 s")
RUNS = Held(ready=False, in_use=True, code="device.missing", text="gone")
DEPLOYED = answer([{"ret_code": 20185088, "message": "Resource already deployed as requested"}])
GET, POST = CallClass.VOLUMES, CallClass.MAKE_AVAILABLE

said = st.none() | st.builds(
    Held,
    ready=st.booleans(),
    in_use=st.booleans(),
    known=st.booleans(),
    paths=st.dictionaries(st.sampled_from(["0", "1"]), st.sampled_from([DEVICE, "/dev/drbd9"])),
    code=st.sampled_from(["", "device.missing"]),
    text=st.just("why"),
    here=st.dictionaries(st.sampled_from(["0", "1"]), st.just(DEVICE)),
)
listed = st.lists(st.none() | st.sampled_from(["", DEVICE, "/dev/drbd9"]), max_size=3)


def test_a_proven_volume_passes() -> None:
    assert rules.judge(GET, volumes(DEVICE), READY).turn is Turn.PASS
    assert rules.judge(POST, DEPLOYED, READY).turn is Turn.PASS


def test_a_volume_that_is_not_there_is_waited_for_with_a_reason() -> None:
    for kind, got in ((GET, volumes(DEVICE)), (POST, DEPLOYED)):
        opinion = rules.judge(kind, got, MISSING)
        assert opinion.turn is Turn.WAIT
        assert opinion.why == "device-missing"
        assert "does not exist" in opinion.text


def test_another_device_than_the_proven_one_is_waited_for() -> None:
    """A path kept from before the boot may name another volume's device (facts/linstor-observed.md A6)."""
    opinion = rules.judge(GET, volumes("/dev/loop8"), Held(ready=True, paths={"0": "/dev/loop9"}))
    assert opinion.turn is Turn.WAIT
    assert opinion.why == "device-other"


@pytest.mark.parametrize("got", [volumes(), volumes(None), volumes(""), volumes(DEVICE, None)])
def test_an_answer_that_would_harm_incus_is_asked_for_again(got: Answer) -> None:
    assert rules.judge(GET, got, READY).turn is Turn.ASK
    assert rules.judge(GET, got, MISSING).turn is Turn.ASK


@pytest.mark.parametrize("got", [volumes(), volumes(None)])
@pytest.mark.parametrize("held", [None, RUNS])
def test_it_never_passes_either_where_nothing_may_be_held(got: Answer, held: Held | None) -> None:
    assert rules.judge(GET, got, held).turn is Turn.REFUSE


def test_without_an_agent_a_good_answer_passes() -> None:
    assert rules.judge(GET, volumes(DEVICE), None).turn is Turn.PASS
    assert rules.judge(POST, DEPLOYED, None).turn is Turn.PASS


def test_what_runs_is_never_held() -> None:
    assert rules.judge(GET, volumes(DEVICE), RUNS).turn is Turn.PASS
    assert rules.judge(POST, DEPLOYED, RUNS).turn is Turn.PASS
    assert rules.judge(GET, LOST, RUNS).turn is Turn.REFUSE


def test_a_satellite_lost_under_the_call_is_no_broken_volume() -> None:
    """facts/linstor-observed.md A2 and A20."""
    closed = answer(
        [
            {"ret_code": 1, "message": "Stored"},
            {
                "ret_code": -4611686018427386906,
                "message": "Registration of resource failed due to an unhandled exception of type PeerClosingConnectionException. null",
            },
        ],
        status=500,
    )
    assert rules.judge(GET, LOST, READY).turn is Turn.ASK
    assert rules.judge(POST, LOST, None).turn is Turn.ASK
    assert rules.judge(POST, closed, None).turn is Turn.ASK
    assert rules.judge(GET, closed, None).turn is Turn.PASS


@pytest.mark.parametrize(
    "got",
    [
        answer([{"ret_code": -1, "message": "Not enough free space"}], status=500),
        answer([{"ret_code": -1, "message": "not found"}], status=404),
        answer(b"<html>", status=500),
        answer([], status=500),
        answer(b"<html>"),
        answer({"name": "n1"}),
        answer([{"ret_code": 1, "message": "odd"}]),
        answer(b"", trouble=Trouble(code="controller.refused", text="refused")),
    ],
)
def test_everything_else_is_the_controllers_own(got: Answer) -> None:
    assert rules.judge(GET, got, MISSING).turn is Turn.PASS


def test_paths_are_filled_in_on_local_truth_alone() -> None:
    held = Held(ready=False, code="volume.path-missing", here={"0": DEVICE})
    assert rules.judge(GET, volumes(None), held).turn is Turn.FILL
    assert rules.judge(GET, volumes(), held).turn is Turn.ASK
    assert rules.judge(GET, volumes(None, None), held).turn is Turn.ASK
    filled = msgspec.json.decode(rules.fill(volumes(None), held.here).body)
    assert filled == [{"volume_number": 0, "provider_kind": "LVM_THIN", "device_path": DEVICE}]


def test_the_refusal_is_in_linstors_form_and_names_reason_and_remedy() -> None:
    refused = rules.refusal(
        ResourceName("incus-volume-c1"),
        NodeName("n1"),
        why="device-missing",
        text=f"{DEVICE} does not exist",
        waited=8.0,
    )
    (entry,) = msgspec.json.decode(refused.body)
    assert refused.status == 500
    assert entry["ret_code"] < 0
    assert f"{DEVICE} does not exist (waited for 8.0 s)" in entry["message"]
    assert "tidegate why volume/incus-volume-c1/0" in entry["correction"]
    assert refused.why == "device-missing"


@given(listed, said)
def test_no_list_that_harms_incus_ever_passes(paths: list[str | None], held: Held | None) -> None:
    got = volumes(*paths)
    opinion = rules.judge(GET, got, held)
    if opinion.turn is Turn.PASS:
        assert paths
        assert all(paths)
    if opinion.turn is Turn.FILL:
        assert held is not None
        filled = rules.read(rules.fill(got, held.here))
        assert filled
        assert all(entry.path for entry in filled)
    if held is None or held.in_use:
        assert opinion.turn in {Turn.PASS, Turn.REFUSE, Turn.FILL}, "that would be a hold"


@given(st.binary(max_size=60), st.integers(100, 599), said)
def test_no_body_is_a_surprise(body: bytes, status: int, held: Held | None) -> None:
    for kind in (GET, POST):
        rules.judge(kind, answer(body, status=status), held)
