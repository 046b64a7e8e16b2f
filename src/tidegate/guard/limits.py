# SPDX-License-Identifier: Apache-2.0
"""How long what may take, and how much of anything there may be. Values only."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.guard.interface import CallClass, Patience

PATIENCE: Final[Mapping[CallClass, Patience]] = {
    # Incus's start waits for these two (facts/incus.md L101); the controller answers them from memory.
    CallClass.NODE: Patience(answer=8.0, hung=0.0),
    CallClass.VERSION: Patience(answer=8.0, hung=0.0),
    CallClass.VOLUMES: Patience(answer=20.0, hung=3.0),
    CallClass.DEFINITIONS: Patience(answer=30.0, hung=3.0),
    CallClass.MAKE_AVAILABLE: Patience(answer=120.0, hung=5.0),
    # A list may wait for slow satellites (facts/linstor.md 4.2), a change for all that it entails.
    CallClass.READ: Patience(answer=120.0, hung=3.0),
    CallClass.CHANGE: Patience(answer=900.0, hung=15.0),
    CallClass.STREAM: Patience(answer=15.0, hung=3.0),
    CallClass.CONTROL: Patience(answer=5.0, hung=0.0),
}
REACHED: Final = Patience(answer=8.0, hung=0.0, found=1.0)
"""For the same calls while the agent reaches the controller: our own search finds it in a moment, too."""
UNHELPED: Final = Patience(answer=540.0, hung=540.0)
"""For the calls that incusd's start waits for, while nobody would take up what an error costs: then a controller that is silent is waited for
as Incus itself does, so that nothing starts later than without us (contract.md, safety 11). Ends before incusd's unit gives up (600 s)."""
JUDGED_AGAIN: Final = 1.0
"""Seconds after which such a call is judged anew: an agent may have come."""

UNREACHED: Final = 1.0
"""Seconds without any controller after which calls are refused at once; the guard goes on searching by itself."""
CHECK_AFTER: Final = 1.0
"""Seconds after which a call that waits makes the guard ask the controller for its version."""
CHECK_LIMIT: Final = 3.0
"""Seconds that a controller has to say what its version is."""
SEARCH_PAUSE: Final = 0.25
"""Seconds between two searches while no controller answers, for the first `SEARCH_FAST_FOR` seconds."""
SEARCH_PAUSE_LATER: Final = 1.0
SEARCH_FAST_FOR: Final = 60.0

PROVEN_WITHIN: Final = 10.0
"""Seconds in which a peer that is not root must have brought the secret with a whole head."""
IDLE: Final = 3600.0
"""Seconds a connection may stay without a request. Long: closing one while a client sends on it loses its request (L32)."""
PROGRESS: Final = 60.0
"""Seconds in which at least something of a body must move, in either direction."""

POOL_IDLE: Final = 10.0
"""Seconds that a connection to a controller is kept for the next call (LINSTOR itself closes idle ones after 30 s)."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much there may be at once."""

    connections: int = 4096
    """From clients. The one longest without a request, or with half a head, gives way to a new one."""
    unproven: int = 64
    """From peers that are not root and have not brought the secret yet."""
    calls: int = 512
    """Under way at controllers, streams not counted; further ones wait for their turn."""
    streams: int = 2048
    turn_within: float = 5.0
    """Seconds to wait for a turn."""


def within(files: int) -> Limits:
    """Return the limits that fit into so many open files: each call may need one towards the controller besides the client's."""
    most = Limits()
    wanted = most.connections + most.calls + most.streams
    share = min(1.0, max(0, files - OWN_FILES) / wanted)
    return Limits(
        connections=max(8, int(most.connections * share)),
        calls=max(4, int(most.calls * share)),
        streams=max(4, int(most.streams * share)),
    )


OWN_FILES: Final = 64
"""Open files that the guard itself needs: sockets, searches, questions to the agent."""
FILES: Final = 16384
"""Open files that it asks for, where it may have more than it has."""
