# SPDX-License-Identifier: Apache-2.0
"""What the lab's kinds of machine are called, and what follows from a name."""

import pytest
from tests.lab import promises, variants
from tests.lab.variants import Variant


@pytest.mark.parametrize(
    ("variant", "strategy", "agent", "holds"),
    [
        (Variant.STOCK, "", False, False),
        (Variant.AGENT, "", True, False),
        (Variant.GATE, "gate", False, True),
        (Variant.ORDER_AGENT, "order", True, True),
    ],
)
def test_a_name_says_what_is_on_the_machine(
    variant: Variant, strategy: str, agent: bool, holds: bool
) -> None:
    assert (variant.strategy, variant.agent, variant.holds) == (strategy, agent, holds)


def test_every_strategy_comes_with_and_without_the_agent_and_promises_something() -> None:
    for strategy in variants.SET_UP:
        of_it = [variant for variant in Variant if variant.strategy == strategy]
        assert sorted(variant.agent for variant in of_it) == [False, True], strategy
        assert promises.BY_STRATEGY[strategy], strategy
