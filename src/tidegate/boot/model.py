# SPDX-License-Identifier: Apache-2.0
"""What is known about one boot, as values: lines, events, phases, causes, stories, and two boots side by side.

Times named ``at``, ``begin`` and ``end`` are seconds since the boot began (``BootAnalysis.origin`` on the machine's monotonic clock);
``wall`` is seconds since the epoch, from the machine's own clock, which may step. Every text that came out of a journal is untrusted:
it is cut to a bounded length here and made harmless where it is shown (``report.terminal.harmless``, HTML escaping).

Subjects are texts: ``host``, ``controller``, ``satellite``, ``incus``, ``pool/NAME``, ``instance/PROJECT/NAME``, ``storage-pool/NAME``
as everywhere, and besides them ``unit/NAME.service``, ``resource/NAME`` (LINSTOR's and DRBD's name), ``device/drbd1000``.
"""

import enum
from collections.abc import Mapping

import msgspec

from tidegate.boot.kinds import Kind as Kind  # noqa: PLC0414 - part of the model

MAX_MESSAGE = 1000
"""Characters of one message that are kept with an event."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a journal or a log, whatever it was read from.

    ``unit`` is the unit that the line is about (``UNIT=`` where systemd speaks of another), ``fields`` holds what few lines carry:
    ``MESSAGE_ID``, ``JOB_TYPE``, ``JOB_RESULT``, ``TIDEGATE_*``.
    """

    message: str
    at: float | None = None
    """Monotonic seconds of the machine, *not* since ``origin``; None where the source does not know it."""
    wall: float | None = None
    unit: str = ""
    identifier: str = ""
    pid: int | None = None
    priority: int | None = None
    """0 (emergency) to 7 (debug), as in syslog; None where the source does not know it."""
    transport: str = ""
    """``journal``, ``stdout``, ``syslog``, ``kernel``, ``audit``, or ``file`` for a log file."""
    boot: str = ""
    hostname: str = ""
    cursor: str = ""
    line: int = 0
    """Number of the line in ``source``, from 1; 0 where there is none."""
    source: str = ""
    """File it was read from; ``journal`` for the machine's own."""
    fields: Mapping[str, str] = {}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A line that proves something, as it is shown: where it stands, when it was, what it says (cut, not made harmless)."""

    at: float | None
    """Seconds since the boot began."""
    wall: float | None
    who: str
    """Unit, else identifier, else transport."""
    text: str
    source: str = ""
    line: int = 0
    cursor: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, proven by lines. ``data`` holds what the pattern took out of the message (err, attempt, from, to …)."""

    kind: Kind
    subject: str
    at: float
    detail: str = ""
    data: Mapping[str, str] = {}
    evidence: tuple[Evidence, ...] = ()
    count: int = 1
    """How many lines said so; the first stands for all."""
    last: float | None = None
    """When the last of them was, if ``count`` is more than 1."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the boot with a name. ``end`` is None when it never ended in what was read."""

    name: str
    """Stable: ``firmware``, ``kernel``, ``network-online``, ``storage-import``, ``drbd-module``, ``satellite.jvm``, ``satellite.wait-controller``,
    ``satellite.full-sync``, ``satellite.first-run``, ``devices``, ``incus.database``, ``incus.pools``, ``incus.autostart``, ``gate`` …"""
    title: str
    subject: str
    begin: float
    end: float | None = None
    lane: str = "host"
    """Which row of a time line: ``host``, ``storage``, ``satellite``, ``controller``, ``incus``, ``instances``, ``tidegate``."""
    ok: bool = True
    """False when it ended in failure, or has not ended although it should have."""
    detail: str = ""
    events: tuple[Event, ...] = ()
    """The events that begin and end it, and the failures within."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None when it never ended."""
        return None if self.end is None else self.end - self.begin


class Confidence(enum.StrEnum):
    """How sure a cause is: ``certain`` is said by a line, ``likely`` follows from lines, ``possible`` is one of several."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, or an effect that is itself the cause of more. Connected by ``Link``; the first causes have no incoming link."""

    key: str
    """Unique in one analysis: code and subject."""
    code: str
    """Stable: ``layer.slug`` (``boot.codes`` lists all)."""
    subject: str
    confidence: Confidence
    sentence: str
    """What happened, for a person, without the evidence."""
    remedy: str
    begin: float
    end: float | None = None
    """When it was over; None when it lasted to the end of what was read."""
    evidence: tuple[Evidence, ...] = ()
    not_seen: tuple[str, ...] = ()
    """What should have been there and was not, one sentence each."""
    alternatives: tuple[str, ...] = ()
    """Codes of what it may be instead."""
    tell: str = ""
    """What would tell which of the alternatives it was."""
    first: bool = False
    """True for a first cause: nothing known stands before it."""
    note: bool = False
    """A remark that hit nobody: worth knowing, not what went wrong."""
    effects: tuple[str, ...] = ()
    """Keys of the causes that follow from this, and subjects of the instances and pools that were hit directly."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One edge of the graph: ``effect`` (a cause's key) came of ``cause`` (a cause's key), with the lines that say so."""

    cause: str
    effect: str
    why: str
    evidence: tuple[Evidence, ...] = ()


class StartOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the chain: when it began, was active, and whether what it needs was there by then."""

    unit: str
    starting: float | None = None
    active: float | None = None
    ready: float | None = None
    """When what it is for worked really (a satellite: the end of its first run), which may be much later than active."""
    result: str = ""
    """``active``, ``failed``, ``activating``, ``skipped``, ``not started``, ``stopped``."""
    needs: tuple[str, ...] = ()
    """Units or subjects that should be ready before it starts."""
    too_early_by: float | None = None
    """Seconds between its start and the readiness of the last of ``needs``, when that came later."""
    note: str = ""


class Outcome(enum.StrEnum):
    """How it ended for an instance or a pool, as far as the lines tell."""

    RUNNING = "running"
    """For a pool: mounted."""
    LATE = "late"
    """Came up, but only after failures or a wait for storage."""
    LOST = "lost"
    """Given up: nobody tries again."""
    WAITING = "waiting"
    """Not up at the end of what was read; someone will try again."""
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    """The lines that would tell are not written by default (facts/incus.md C8, G3)."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to start an instance or to mount a pool; ``error`` is empty for one that succeeded."""

    at: float
    error: str = ""
    code: str = ""
    """What kind of error: ``node-offline``, ``controller-refused``, ``device-missing`` … (``boot.errors``)."""
    evidence: tuple[Evidence, ...] = ()


class InstanceStory(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance went through. Times are None where no line tells them."""

    subject: str
    project: str
    name: str
    pool: str = ""
    device: str = ""
    outcome: Outcome = Outcome.UNKNOWN
    waiting_since: float | None = None
    mount_begin: float | None = None
    """First seconds of the attempt that succeeded: LINSTOR asked, device opened, mounted."""
    mounted: float | None = None
    started: float | None = None
    attempts: tuple[Attempt, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    exact: bool = True
    """False when a time is inferred (a kernel line, a network interface), not said."""


class PoolStory(msgspec.Struct, frozen=True, kw_only=True):
    """What a storage pool of Incus went through."""

    subject: str
    name: str
    outcome: Outcome = Outcome.UNKNOWN
    asked: float | None = None
    ready: float | None = None
    attempts: tuple[Attempt, ...] = ()
    exact: bool = True


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of what the last instance waited for."""

    begin: float
    end: float
    subject: str
    sentence: str
    phase: str = ""
    gain: float = 0.0
    """Seconds that would have been saved without it."""
    advice: str = ""
    """``would have been N s earlier if …``; empty when nothing can be saved."""
    evidence: tuple[Evidence, ...] = ()


class CriticalPath(msgspec.Struct, frozen=True, kw_only=True):
    """What the last instance (or the pool, or Incus) waited for, second by second: steps without gaps from 0 to ``end``."""

    subject: str = ""
    end: float = 0.0
    steps: tuple[Step, ...] = ()
    sentence: str = ""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that no pattern knows, grouped by their form; ``sample`` is one of them."""

    who: str
    shape: str
    count: int
    first: float
    last: float
    priority: int | None
    sample: Evidence


class Status(enum.StrEnum):
    """The verdict in one word."""

    NOTHING_WRONG = "nothing-wrong"
    LATE = "late"
    """All that is known came up, but late, after failures, or beside a fault."""
    DOWN = "down"
    """Something stayed down."""
    COMING_UP = "coming-up"
    """What was read ends while things still come up."""
    UNDECIDED = "undecided"
    """Too little was read to tell."""


class BootAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one boot."""

    boot: str = ""
    hostname: str = ""
    kernel: str = ""
    source: str = ""
    origin: float = 0.0
    """Monotonic seconds of the machine at which the boot began: 0 on a real machine, PID 1's start in a container."""
    began: float | None = None
    """Wall clock of the beginning."""
    length: float = 0.0
    """Seconds from the beginning to the last line read."""
    status: Status = Status.UNDECIDED
    verdict: str = ""
    """One sentence for a person."""
    causes: tuple[Cause, ...] = ()
    """First causes first, each followed by its effects; then notes that hit nobody."""
    links: tuple[Link, ...] = ()
    phases: tuple[Phase, ...] = ()
    events: tuple[Event, ...] = ()
    """In order of time; bounded, see ``dropped``."""
    order: tuple[StartOrder, ...] = ()
    pools: tuple[PoolStory, ...] = ()
    instances: tuple[InstanceStory, ...] = ()
    path: CriticalPath = CriticalPath()
    shapes: tuple[Shape, ...] = ()
    """Unknown messages, most frequent first; bounded."""
    entries: int = 0
    dropped: int = 0
    """Events not kept because there were too many of their kind."""
    ended: bool = False
    """True when the machine was shut down within what was read."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the source: a clock that stepped, lines out of order, a truncated file …"""

    @property
    def first_causes(self) -> tuple[Cause, ...]:
        """The causes that nothing stands before, most important first."""
        return tuple(cause for cause in self.causes if cause.first)


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What is known from elsewhere and helps to read a journal; everything may be empty."""

    node: str = ""
    instances: Mapping[str, str] = {}
    """Instances that should run: ``PROJECT/NAME`` to the name of their pool."""
    volumes: Mapping[str, str] = {}
    """``PROJECT/NAME`` to LINSTOR's resource."""
    linstor_pools: tuple[str, ...] = ()
    """Pools of Incus that lie on LINSTOR."""
    devices: Mapping[str, str] = {}
    """Device (``drbd1002``) to LINSTOR's resource."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in two boots; None where a boot does not have it."""

    name: str
    title: str
    before: float | None
    after: float | None

    @property
    def delta(self) -> float | None:
        """Seconds by which the second boot was slower (negative: faster)."""
        return None if self.before is None or self.after is None else self.after - self.before


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two boots of a machine side by side."""

    before: str
    """Boot id of the first."""
    after: str
    sentence: str
    changes: tuple[Change, ...] = ()
    new_causes: tuple[Cause, ...] = ()
    gone_causes: tuple[Cause, ...] = ()
    new_shapes: tuple[Shape, ...] = ()
    """Messages that the first boot did not have."""
    gone_shapes: tuple[Shape, ...] = ()
