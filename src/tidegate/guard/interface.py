# SPDX-License-Identifier: Apache-2.0
"""What the guard's transport and its rules say to each other.

For every request the transport builds a `Call` and asks `Rules.concerns` (pure, no waiting). None: the request is forwarded byte
for byte and the rules hear no more of it. Else `Rules.judge` gives a `Verdict`, and after `ForwardThen` the controller's whole
answer goes through `Rules.review`.

Times are seconds of CLOCK_BOOTTIME (`clients.clock.boottime`), limits are seconds.
"""

import enum
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from tidegate.core.trouble import Trouble

Headers = tuple[tuple[bytes, bytes], ...]
"""Header lines in the order and the spelling they came in: (name, value), both as on the wire."""

JSON: Final = "application/json"


class CallClass(enum.StrEnum):
    """What kind of call this is: limits, counts and times are kept per class."""

    NODE = "node"
    """``GET /v1/nodes/{this satellite}``: Incus mounts a pool (facts/incus.md L51)."""
    MAKE_AVAILABLE = "make-available"
    """``POST …/resources/{this satellite}/make-available`` (L52)."""
    VOLUMES = "volumes"
    """``GET …/resources/{this satellite}/volumes`` (L52)."""
    DEFINITIONS = "definitions"
    """``GET /v1/resource-definitions?props=…``: the map of volumes; named only where local truth is on."""
    VERSION = "version"
    """``GET /v1/controller/version``: Incus's first call (L50); named only where local truth is on."""
    READ = "read"
    """Any other GET or HEAD. Never given by the rules."""
    CHANGE = "change"
    """Any other method. Never given by the rules."""
    STREAM = "stream"
    """A GET that wants ``text/event-stream``: no limit once it has begun. Never given by the rules."""
    CONTROL = "control"
    """The guard's own ``/tidegate/v1/…`` on its unix socket. Never given by the rules."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    where: str
    """``127.0.0.1:41234``, or ``unix`` for the guard's own socket."""
    uid: int | None = None
    """The owner of the peer's socket, None when the kernel did not say and the secret was brought instead."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was received."""

    method: str
    target: str
    """Path and query exactly as received: ``/v1/nodes/n%31?x``."""
    segments: tuple[str, ...]
    """The path's segments, percent-decoded: ``("v1", "nodes", "n1")``. Empty ones are kept, so that ``//v1`` is not ``/v1``."""
    query: str
    """What stands behind the first ``?``, as received; "" when there is none."""
    headers: Headers
    body: bytes = b""
    """The request's body, in `judge` and `review` only (`concerns` is asked before it came); at most `BODY_LIMIT` bytes."""
    peer: Peer
    arrived_at: float
    """When its header was complete."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: the controller's, or the rules' own."""

    status: int
    reason: str = ""
    """The reason phrase; "" for the usual one of the status."""
    headers: Headers = ()
    """As received. In an answer of the rules: Content-Type and others that are wanted; the transport sets what frames the body."""
    body: bytes = b""
    """Without transfer or content encoding. In an answer of the rules it is sent as it is."""
    trouble: Trouble | None = None
    """Set by the transport when no controller answered: then status and body are the guard's own error, and this says why."""
    why: str = ""
    """A stable word for what the rules did ("not-ready", "device-missing"): sent as ``X-Tidegate-Reason`` and counted. "" is not."""
    text: str = ""
    """One sentence to `why`, for the log and ``X-Tidegate-Text``."""


class Forward(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Pass it on byte for byte, as if it were not named."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call of one class may wait for its answer to begin, in seconds."""

    answer: float
    """In any case."""
    hung: float
    """Once the controller does not even answer what its version is (which takes no lock there: facts/linstor.md 4.2)."""
    found: float = 0.0
    """For a search that goes on already, however long it has."""


class ForwardThen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask the controller, take its answer whole, and let `Rules.review` see it."""

    limit: float
    """Seconds from `Call.arrived_at` for all of it: asking, asking again, reviewing."""
    patience: Patience | None = None
    """What the controller gets; None: what the call's class gets. With `limits.UNHELPED` the call is judged again meanwhile."""
    otherwise: Answer | None = None
    """Answered when `review` raises or is not done at the limit; None: the controller's own answer passes."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer at once; the controller is not asked."""

    answer: Answer


Verdict = Forward | ForwardThen | Reply

BODY_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of an answer that `ForwardThen` fetches; a longer one passes unreviewed. (One node or one resource's volumes: some kB.)"""
REQUEST_LIMIT: Final = 64 * 1024
"""Bytes of a request's body that is taken whole (Incus sends ``{}``); a call with a longer one is forwarded as if it were not named."""


class Ask(Protocol):
    """Ask the controller while a call is reviewed. Never raises for trouble with controllers: see `Answer.trouble`."""

    async def __call__(
        self, *, limit: float, target: str | None = None, method: str | None = None
    ) -> Answer:
        """Make the same call again; or, with `target` (and ``GET``), another one. Whole answer within `limit` seconds.

        The rules know which call may be repeated: the transport by itself repeats none that changes anything.
        """
        ...


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules have done since they began."""

    mounted: int = 0
    """Times that Incus was told ONLINE, which is when it mounts the pool."""
    turned_away: int = 0
    """Times that it was told that the node is not ready, though the controller said ONLINE."""
    holds: Mapping[str, int] = {}
    """Why a volume's call was held first -> how often, whatever became of it."""
    held_seconds: float = 0.0
    """All that time together."""
    local_truth: bool = False
    """They answer on local truth where no controller can be asked (``guard.local_truth``, as it was when the guard started)."""


class Rules(Protocol):
    """What is answered to the calls that concern readiness."""

    def concerns(self, call: Call, /) -> CallClass | None:
        """Say which named class this is; None for everything that is only forwarded. Pure and quick: asked for every call."""
        ...

    async def judge(self, call: Call, /) -> Verdict:
        """Decide what happens to a named call. Bounded by the rules themselves; after 1 s, or if it raises, it is forwarded."""
        ...

    async def review(self, call: Call, answer: Answer, ask: Ask, /) -> Answer | None:
        """See the controller's whole answer (any status, or the guard's own error with its `trouble`).

        Return another answer, or None to pass this one on unchanged, in the very bytes the controller sent.
        """
        ...

    async def control(self, call: Call, /) -> Answer | None:
        """Answer ``/tidegate/v1/…`` on the guard's unix socket (root only) as far as the rules own it; None: not theirs."""
        ...

    def counts(self) -> Counts:
        """What was done so far."""
        ...


class PassAll:
    """No rules: everything is forwarded."""

    def concerns(self, _call: Call, /) -> CallClass | None:
        """Nothing is named."""
        return None

    async def judge(self, _call: Call, /) -> Verdict:
        """Never asked."""
        return Forward()

    async def review(self, _call: Call, _answer: Answer, _ask: Ask, /) -> Answer | None:
        """Never asked."""
        return None

    async def control(self, _call: Call, /) -> Answer | None:
        """Owns no path."""
        return None

    def counts(self) -> Counts:
        """Nothing was done."""
        return Counts()


def plain_error(status: int, code: int, message: str, *, cause: str = "", hint: str = "") -> Answer:
    """Return an error in LINSTOR's own form, which golinstor turns into a sentence (facts/incus.md L36, facts/linstor.md 4.1).

    `code` is LINSTOR's number without its error bits (995 FAIL_NOT_CONNECTED, 998 FAIL_UNKNOWN_ERROR).
    """
    entry: dict[str, object] = {"ret_code": ERROR_MASK + code, "message": message}
    if cause:
        entry["cause"] = cause
    if hint:
        entry["correction"] = hint
    return Answer(
        status=status,
        headers=((b"Content-Type", JSON.encode()),),
        body=msgspec.json.encode([entry]),
    )


ERROR_MASK: Final = -4611686018427387904
"""MASK_ERROR as a signed number."""
FAIL_NOT_CONNECTED: Final = 995
FAIL_UNKNOWN_ERROR: Final = 998
