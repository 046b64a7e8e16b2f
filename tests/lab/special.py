# SPDX-License-Identifier: Apache-2.0
"""The special runs by name, and how they are told: one after the other, each with all that it promises."""

from collections.abc import Iterable
from types import ModuleType

from tests.lab import (
    golden,
    host,
    special_archive,
    special_chain,
    special_decay,
    special_devices,
    special_early,
    special_gone,
    special_guard,
    special_kill,
    special_limit,
    special_loop,
    special_many,
    special_naive,
    special_panic,
    special_power,
    special_shutdown,
    special_tune,
    special_units,
)
from tests.lab.tale import Tale

TALES: dict[str, ModuleType] = {
    "units": special_units,
    "shutdown": special_shutdown,
    "early": special_early,
    "gone": special_gone,
    "limit": special_limit,
    "decay": special_decay,
    "guard": special_guard,
    "devices": special_devices,
    "power": special_power,
    "naive": special_naive,
    "loop": special_loop,
    "chain": special_chain,
    "kill": special_kill,
    "many": special_many,
    "tune": special_tune,
    "archive": special_archive,
    "panic": special_panic,
}
PARTS = tuple(f"tune/{part}" for part in special_tune.STORIES)
"""What can be told alone of what takes long."""


def tell(names: Iterable[str]) -> list[Tale]:
    """Run the specials ``names``, or parts of them, and return them told."""
    layers = golden.layers()
    told = []
    for name in names:
        whole, _, part = name.partition("/")
        tale = Tale(whole, layers, part)
        try:
            TALES[whole].tell(tale)
        except host.LabError as error:
            tale.failed = True
            tale.say(f"failed: {error}")
        told.append(tale)
    return told
