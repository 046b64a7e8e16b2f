# SPDX-License-Identifier: Apache-2.0
"""The texts that rules look for inside of messages, besides the catalogue's: without their words a masked boot could not be explained."""

from collections.abc import Iterator

from tidegate.boot import catalogue, errors, rules_kernel, rules_module


def texts() -> Iterator[str]:
    """Yield regexes and literals of the catalogue and of the rules."""
    for one in catalogue.ALL:
        yield one.literal
        yield one.regex
    yield from errors.texts()
    yield from rules_module.texts()
    yield from rules_kernel.TOOLS
