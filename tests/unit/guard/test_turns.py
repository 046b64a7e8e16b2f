# SPDX-License-Identifier: Apache-2.0
"""Who asks much is in nobody's way: places for calls, places for streams, and none needed for what Incus mounts with."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.clients.errors import ClientError
from tidegate.guard import limits
from tidegate.guard.interface import CallClass
from tidegate.guard.limits import Limits
from tidegate.guard.turns import Turns

FEW = Limits(calls=2, streams=1, turn_within=0.05)


@pytest.mark.parametrize("kind", [CallClass.READ, CallClass.CHANGE])
async def test_when_all_places_are_taken_it_is_said_and_a_free_one_is_used(kind: CallClass) -> None:
    turns = Turns(FEW)
    async with turns.take(kind):
        async with turns.take(kind):
            with pytest.raises(ClientError) as busy:
                async with turns.take(kind):
                    pass
            assert busy.value.code == "guard.busy"
        async with turns.take(kind):
            pass


async def test_what_incus_mounts_with_waits_for_nobody() -> None:
    turns = Turns(FEW)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(FEW.calls):
            await stack.enter_async_context(turns.take(CallClass.READ))
        for kind in (CallClass.NODE, CallClass.VERSION, CallClass.VOLUMES):
            async with turns.take(kind):
                pass


async def test_an_answer_that_turns_out_to_have_no_end_frees_its_place_for_a_call() -> None:
    turns = Turns(FEW)
    async with turns.take(CallClass.READ) as turn, turns.take(CallClass.READ):
        turn.is_endless()
        turn.is_endless()
        assert turns.streams == 1
        async with turns.take(CallClass.READ):
            pass
        with pytest.raises(ClientError):
            async with turns.take(CallClass.STREAM):
                pass
    assert turns.streams == 0


@given(files=st.integers(min_value=128, max_value=1 << 20))
def test_all_that_may_be_open_at_once_fits_into_the_files_there_are(files: int) -> None:
    found = limits.within(files)
    assert found.connections + found.calls + found.streams + limits.OWN_FILES <= files
    assert limits.within(limits.FILES) == Limits()
