# SPDX-License-Identifier: Apache-2.0
"""The rules in the order in which the transport asks them: judge, the controller's answer, review."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard_calls import (
    LOST,
    NODE,
    NOT_READY,
    PASSES,
    Agent,
    Controller,
    answer,
    call,
    volumes,
)

from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.trouble import Trouble
from tidegate.guard import limits
from tidegate.guard.asking import Local, Mount, State
from tidegate.guard.bar import Ruling, Why
from tidegate.guard.holding import Patience
from tidegate.guard.interface import Answer, CallClass, ForwardThen, Reply
from tidegate.guard.rules import QUICK, GuardRules, Settings
from tidegate.guard.volumes import Held

DEVICE = "/dev/drbd1001"
MOUNT = ("GET", "/v1/nodes/n1")
VERSION = ("GET", "/v1/controller/version")
RD = "/v1/resource-definitions/incus-volume-c1/resources/n1"
VOLUMES = ("GET", f"{RD}/volumes")
AVAILABLE = ("POST", f"{RD}/make-available")
DEPLOYED = answer([{"ret_code": 20185088, "message": "Resource already deployed as requested"}])
READY = Held(ready=True, paths={"0": DEVICE})
MISSING = Held(ready=False, code="device.missing", text=f"{DEVICE} does not exist")
SHORT = Settings(hold=0.15)
GONE = Answer(status=503, trouble=Trouble(code="controller.refused", text="http://c:3370: refused"))
LOCAL = Local(node="n1", version="1.33.2", ready=True, devices={"0": DEVICE})


class Node:
    """Rules with an agent and a clock of the event loop."""

    def __init__(self, agent: Agent, settings: Settings = SHORT) -> None:
        self.agent = agent
        self.rules = GuardRules(agent, NodeName("n1"), settings, clock=time.monotonic)

    async def reviewed(
        self, what: tuple[str, str], got: Answer, again: Controller | None = None
    ) -> Answer | None:
        asked = call(*what, at=time.monotonic())
        return await self.rules.review(asked, got, again or Controller(got))


def text(got: Answer | None) -> str:
    assert got is not None
    found: str = msgspec.json.decode(got.body)[0]["message"]
    return found


# --- the pool's mount ---------------------------------------------------------------------------


async def test_not_ready_is_the_real_record_with_another_status_and_the_reason() -> None:
    got = await Node(Agent(mount=NOT_READY)).reviewed(MOUNT, answer(NODE))
    assert got is not None
    assert msgspec.json.decode(got.body) == {**NODE, "connection_status": "CONNECTED"}
    assert got.status == 200
    assert (got.why, got.text) == ("not-ready", "0 of 3 ready")


@pytest.mark.parametrize("mount", [None, PASSES])
async def test_the_controllers_own_answer_passes_when_the_agent_is_silent_or_content(
    mount: Mount | None,
) -> None:
    assert await Node(Agent(mount=mount)).reviewed(MOUNT, answer(NODE)) is None


@pytest.mark.parametrize(
    "got",
    [
        answer({**NODE, "connection_status": "OFFLINE"}),
        answer({"name": "n1"}),
        answer([]),
        answer(b"<html>"),
        answer([{"ret_code": -1, "message": "no"}], status=500),
        GONE,
    ],
)
async def test_what_is_not_online_passes_without_a_question(got: Answer) -> None:
    agent = Agent(mount=NOT_READY)
    assert await Node(agent).reviewed(MOUNT, got) is None
    assert agent.asked == []


async def test_an_agent_that_has_just_begun_is_asked_again_for_a_moment() -> None:
    class Settles(Agent):
        async def mount(self, *, checked: bool = False, flaw: str = "") -> Mount | None:
            assert not checked
            assert not flaw
            self.asked.append("mount")
            await asyncio.sleep(0.01)
            return (
                PASSES if len(self.asked) > 2 else msgspec.structs.replace(NOT_READY, settling=True)
            )

    agent = Settles()
    assert await Node(agent).reviewed(MOUNT, answer(NODE)) is None
    assert len(agent.asked) == 3


@pytest.mark.parametrize(
    ("listed", "changed"),
    [
        (volumes(DEVICE), False),
        (volumes(), True),
        (volumes(None), True),
        (LOST, False),
        (GONE, False),
    ],
)
async def test_what_the_controller_would_tell_incus_of_the_volumes_is_looked_at_first(
    listed: Answer, changed: bool
) -> None:
    """An empty list is seen by nobody but who asks for it (s10)."""
    names = (ResourceName("rd 1"), ResourceName("rd2"))
    agent = Agent(mount=msgspec.structs.replace(PASSES, check=names))
    controller = Controller(listed)
    got = await Node(agent).reviewed(MOUNT, answer(NODE), controller)
    assert (got is not None) == changed
    assert sorted(target or "" for _, target in controller.asked) == [
        "/v1/resource-definitions/rd%201/resources/n1/volumes",
        "/v1/resource-definitions/rd2/resources/n1/volumes",
    ]
    assert agent.asked[0] == "mount"
    assert agent.asked[1].startswith("checked rd 1: " if changed else "checked")


async def test_two_minutes_are_the_end_whatever_the_agent_says() -> None:
    now = [1000.0]
    rules = GuardRules(Agent(mount=NOT_READY), NodeName("n1"), SHORT, clock=lambda: now[0])

    async def at(moment: float) -> bool:
        now[0] = moment
        asked = call(*MOUNT, at=moment)
        return await rules.review(asked, answer(NODE), Controller(GONE)) is not None

    assert await at(1000.0)
    assert await at(1119.0)
    assert not await at(1120.0)
    assert not await at(5000.0)


@given(
    st.none()
    | st.builds(
        Mount,
        ruling=st.builds(
            Ruling, changed=st.booleans(), why=st.sampled_from(Why), text=st.just("why")
        ),
        settling=st.just(False),
    ),
    st.sampled_from(["ONLINE", "OFFLINE", "CONNECTED", "UNKNOWN", None]),
    st.integers(200, 599),
)
@settings(max_examples=60)
def test_nothing_is_changed_but_an_online_that_the_agent_objects_to(
    mount: Mount | None, status: str | None, number: int
) -> None:
    got = answer({**NODE, "connection_status": status}, status=number)
    changed = asyncio.run(Node(Agent(mount=mount)).reviewed(MOUNT, got))
    objected = mount is not None and mount.ruling.changed
    assert (changed is not None) == (objected and status == "ONLINE" and number == 200)


# --- what is decided before the controller is asked ----------------------------------------------


@pytest.mark.parametrize("what", [MOUNT, VERSION])
@pytest.mark.parametrize("liveness", ["new", "lost"])
async def test_incusds_start_is_not_blocked_by_a_controller_that_nobody_reaches(
    what: tuple[str, str], liveness: str
) -> None:
    state = State(
        controller=liveness, text="http://c:3370: no answer within 3 s", recovers=True, lenient=True
    )
    verdict = await Node(Agent(state=state)).rules.judge(call(*what))
    assert isinstance(verdict, ForwardThen)
    assert verdict.limit == QUICK
    assert verdict.otherwise is not None
    assert verdict.otherwise.status == 503
    assert "no answer within 3 s" in text(verdict.otherwise)


@pytest.mark.parametrize("liveness", ["up", "lost", "new"])
async def test_a_controller_gets_its_time_where_a_quick_error_would_cost_something(
    liveness: str,
) -> None:
    state = State(controller=liveness, recovers=True)
    verdict = await Node(Agent(state=state)).rules.judge(call(*MOUNT))
    assert isinstance(verdict, ForwardThen)
    assert verdict.limit > 5
    assert verdict.otherwise is None
    assert verdict.patience is not limits.UNHELPED


@pytest.mark.parametrize("what", [MOUNT, VERSION])
@pytest.mark.parametrize(
    "state", [None, State(controller="up"), State(controller="lost"), State(controller="new")]
)
async def test_a_controller_gets_all_the_time_that_incus_would_give_it_where_nobody_would_come_to_help(
    state: State | None, what: tuple[str, str]
) -> None:
    verdict = await Node(Agent(state=state)).rules.judge(call(*what))
    assert isinstance(verdict, ForwardThen)
    assert verdict.patience is limits.UNHELPED
    assert verdict.limit > 500
    assert verdict.otherwise is None


async def test_the_version_passes_as_it_is() -> None:
    node = Node(Agent())
    assert node.rules.concerns(call(*VERSION)) is CallClass.VERSION
    assert await node.reviewed(VERSION, answer({"version": "1.33.2"})) is None


async def test_volumes_need_no_question_beforehand() -> None:
    agent = Agent(state=None)
    for what in (VOLUMES, AVAILABLE):
        assert isinstance(await Node(agent).rules.judge(call(*what)), ForwardThen)
    assert agent.asked == []


# --- volumes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "got"), [(VOLUMES, volumes(DEVICE)), (AVAILABLE, DEPLOYED)])
async def test_ready_passes_in_the_controllers_own_bytes(
    what: tuple[str, str], got: Answer
) -> None:
    assert await Node(Agent(held=READY)).reviewed(what, got) is None


@pytest.mark.parametrize(("what", "got"), [(VOLUMES, volumes(DEVICE)), (AVAILABLE, DEPLOYED)])
async def test_it_is_held_until_the_device_is_there(what: tuple[str, str], got: Answer) -> None:
    words = [MISSING, MISSING, READY]
    node = Node(Agent(held=lambda: words.pop(0) if len(words) > 1 else words[0]), Settings())
    assert await node.reviewed(what, got) is None
    assert node.agent.asked.count("volumes") == 3
    assert node.rules.counts().holds == {"device-missing": 1}
    assert node.rules.counts().held_seconds > 0


@pytest.mark.parametrize(("what", "got"), [(VOLUMES, volumes(DEVICE)), (AVAILABLE, DEPLOYED)])
async def test_at_the_limit_incus_is_told_a_reason(what: tuple[str, str], got: Answer) -> None:
    refused = await Node(Agent(held=MISSING)).reviewed(what, got)
    assert refused is not None
    assert refused.status == 500
    assert f"{DEVICE} does not exist" in text(refused)
    assert refused.why == "device-missing"


@pytest.mark.parametrize("bad", [volumes(), volumes(None), LOST])
async def test_an_answer_that_harms_incus_is_asked_for_again(bad: Answer) -> None:
    good = volumes(DEVICE)
    controller = Controller(good)
    got = await Node(Agent(held=READY), Settings()).reviewed(VOLUMES, bad, controller)
    assert got is good
    assert controller.asked == [(None, None)]


@pytest.mark.parametrize("bad", [volumes(), volumes(None), LOST])
@pytest.mark.parametrize("held", [READY, None])
async def test_it_is_refused_when_it_stays_so(bad: Answer, held: Held | None) -> None:
    refused = await Node(Agent(held=held)).reviewed(VOLUMES, bad)
    assert refused is not None
    assert refused.status == 500
    assert "incus-volume-c1" in text(refused)


async def test_what_runs_is_never_held() -> None:
    runs = Held(ready=False, in_use=True)
    controller = Controller(volumes(DEVICE))
    node = Node(Agent(held=runs), Settings())
    assert await node.reviewed(VOLUMES, volumes(DEVICE), controller) is None
    assert await node.reviewed(AVAILABLE, DEPLOYED, controller) is None
    assert node.agent.asked == ["volumes", "volumes"]
    assert controller.asked == []


async def test_an_agent_that_dies_during_a_hold_ends_it() -> None:
    words: list[Held | None] = [MISSING, None]
    node = Node(Agent(held=lambda: words.pop(0) if len(words) > 1 else words[0]), Settings())
    assert await node.reviewed(VOLUMES, volumes(DEVICE)) is None


async def test_make_available_is_not_repeated_while_the_device_is_waited_for() -> None:
    controller = Controller(DEPLOYED)
    await Node(Agent(held=MISSING)).reviewed(AVAILABLE, DEPLOYED, controller)
    assert controller.asked == []


async def test_holds_in_vain_use_up_patience_and_one_that_was_of_use_brings_it_back() -> None:
    """Else each attempt of each instance would keep those on other pools waiting."""
    node = Node(Agent(held=MISSING), Settings(hold=0.3))
    began = time.monotonic()
    for _ in range(5):
        assert await node.reviewed(VOLUMES, volumes(DEVICE)) is not None
    assert time.monotonic() - began < 5 * 0.3
    assert node.rules.holder.patience.now(time.monotonic()) < 0.1
    words = [MISSING, READY]
    node.agent.said_held = lambda: words.pop(0) if len(words) > 1 else words[0]
    node.rules.holder.patience = node.rules.holder.patience.wasted(0.0, time.monotonic() - 20.0)
    assert await node.reviewed(VOLUMES, volumes(DEVICE)) is None
    assert node.rules.holder.patience.now(time.monotonic()) == 0.3


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10), st.floats(0, 200)), max_size=30))
def test_patience_stays_within_its_bounds(steps: list[tuple[bool, float, float]]) -> None:
    now, patience = 0.0, Patience(most=8.0, left=8.0, at=0.0)
    for useful, held, pause in steps:
        now += pause
        patience = patience.paid(now) if useful else patience.wasted(held, now)
        assert 0.0 <= patience.now(now) <= 8.0
        assert not useful or patience.now(now) == 8.0


# --- local truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [MOUNT, VERSION, VOLUMES, AVAILABLE])
async def test_local_truth_is_used_only_where_it_was_asked_for(what: tuple[str, str]) -> None:
    lost = State(controller="lost")
    off = Node(Agent(state=lost, local=LOCAL))
    assert not isinstance(await off.rules.judge(call(*what)), Reply)
    assert await off.reviewed(what, GONE) is None
    on = Node(Agent(state=lost, local=LOCAL), Settings(local_truth=True))
    verdict = await on.rules.judge(call(*what))
    assert isinstance(verdict, Reply)
    assert verdict.answer.why == "local-truth"
    assert await on.reviewed(what, GONE) is not None


@pytest.mark.parametrize("what", [MOUNT, VOLUMES, AVAILABLE])
async def test_a_controller_that_answers_is_asked(what: tuple[str, str]) -> None:
    node = Node(Agent(local=LOCAL), Settings(local_truth=True))
    assert isinstance(await node.rules.judge(call(*what)), ForwardThen)


async def test_a_missing_path_is_filled_in_from_the_kernel() -> None:
    held: Any = Held(ready=False, code="volume.path-missing", here={"0": DEVICE})
    node = Node(Agent(held=held), Settings(local_truth=True))
    got = await node.reviewed(VOLUMES, volumes(None))
    assert got is not None
    assert msgspec.json.decode(got.body)[0]["device_path"] == DEVICE
    assert got.why == "local-truth"


async def test_mounts_are_counted_by_what_incus_was_told() -> None:
    node = Node(Agent(mount=NOT_READY))
    await node.reviewed(MOUNT, answer(NODE))
    node.agent.said_mount = PASSES
    await node.reviewed(MOUNT, answer(NODE))
    await node.reviewed(MOUNT, answer({**NODE, "connection_status": "OFFLINE"}))
    counts = node.rules.counts()
    assert (counts.mounted, counts.turned_away, counts.holds) == (1, 1, {})
