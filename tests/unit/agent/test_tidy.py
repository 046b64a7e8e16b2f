# SPDX-License-Identifier: Apache-2.0
"""The process tidies up when it comes to rest, and not again and again."""

import gc

from tidegate.agent import tidy


def test_coming_to_rest_is_the_moment_and_no_other_soon_after() -> None:
    now, done = [10.0], []
    one = tidy.Tidy(lambda: now[0], lambda: done.append(now[0]))
    for moment, rests in [(10.0, False), (11.0, True), (12.0, True), (13.0, False), (14.0, True)]:
        now[0] = moment
        one.saw(rests=rests)
    assert done == [11.0]
    now[0] += tidy.EVERY
    one.saw(rests=False)
    one.saw(rests=True)
    assert len(done) == 2


def test_what_is_there_is_left_out_of_collections_from_then_on() -> None:
    try:
        tidy.give_back()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
