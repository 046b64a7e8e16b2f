# SPDX-License-Identifier: Apache-2.0
"""One kind of cause, and the remedies that several share."""

from typing import Final

import msgspec


class Code(msgspec.Struct, frozen=True):
    """One kind of cause."""

    means: str
    remedy: str
    weight: int = 5
    """How much it matters among causes of equal effect, 0 to 9: what lasts weighs more than what passes."""


AGENT: Final = "Run tidegate-agent.service: it starts an instance the moment its volumes are usable. Until then: incus start NAME."
"""What helps an instance that Incus gave up."""
