# SPDX-License-Identifier: Apache-2.0
"""The rules, one room of them after the other, over one case."""

from tidegate.boot import rules_host, rules_incus, rules_own
from tidegate.boot.case import Case
from tidegate.boot.model import Cause, Link


def find(case: Case) -> tuple[tuple[Cause, ...], tuple[Link, ...]]:
    """Return the causes of a boot, first causes first, and the links between them."""
    rules_incus.examine(case)
    rules_host.examine(case)
    rules_own.examine(case)
    return case.graph.build()
