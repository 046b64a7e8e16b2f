# SPDX-License-Identifier: Apache-2.0
"""The short run of ``make fuzz``: the same inputs each time."""

import pytest
from tests.fuzz import engine, found

SEED, INPUTS = 20261124, 400


@pytest.mark.parametrize("target", tuple(found.targets()), ids=lambda target: target.name)
def test_no_input_surprises_it(target: engine.Target) -> None:
    engine.run(target, inputs=INPUTS, seed=SEED)


def test_a_surprise_is_told_with_its_input() -> None:
    nothing: dict[bytes, bytes] = {}
    bad = engine.Target("bad", lambda data: nothing[data], (b"seed",))
    with pytest.raises(engine.Failure, match=r"bad, seed 1, input 0: KeyError"):
        engine.run(bad, inputs=5, seed=1)
