# SPDX-License-Identifier: Apache-2.0
"""The journal of this boot: evidence of what the satellite did, and whether the kernel's DRBD can still be trusted.

Read once by ``journalctl``; afterwards :class:`tidegate.probes.hints.journal.JournalListener` hands over what is written, as long as it
listens. Where it does not, the journal is read again now and then.
"""

from collections.abc import Iterable
from typing import Final

from tidegate.clients import clock as clocks
from tidegate.clients import errors
from tidegate.clients.systemd.follow import Journal, Line
from tidegate.core.evidence import JournalFacts
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.probes import base, translate_journal

AGAIN: Final = 60.0
"""Seconds between two readings of the whole journal while nobody listens: each is a program of its own."""


class Told:
    """What the journal told so far, shared by the probe and the listener."""

    def __init__(self, *, satellite: str, incus: str, clock: base.Clock) -> None:
        self._satellite = satellite
        self._incus = incus
        self._clock = clock
        self.facts = JournalFacts()
        self.listens = False
        """Somebody hands over all that is written."""

    def begin(self) -> None:
        """Forget everything that is told again from the beginning of this boot; a kernel that failed stays one that failed."""
        self.facts = JournalFacts(
            assertion=self.facts.assertion, assertion_at=self.facts.assertion_at
        )

    def take(self, lines: Iterable[Line]) -> bool:
        """Take in ``lines``; True when they told something."""
        before = self.facts
        self.facts = translate_journal.fold(
            before,
            lines,
            satellite=self._satellite,
            incus=self._incus,
            shift=self._clock() - clocks.monotonic_usec() / 1e6,
        )
        return self.facts != before

    def wedged(self) -> str | None:
        """Return the kernel's line after which no program may be started that asks DRBD; None while all is well."""
        return self.facts.assertion


class JournalProbe:
    """Reads ``journal`` into ``told``; with None, there is no journal here, or it is switched off."""

    source = Source.JOURNAL

    def __init__(self, journal: Journal | None, told: Told, *, clock: base.Clock) -> None:
        self._journal = journal
        self._told = told
        self._clock = clock
        self._read_at = float("-inf")

    async def look(self, need: base.Need) -> Observation:  # noqa: ARG002 - a probe's signature
        """Say what the journal has told. Without journalctl the source is off: it only explains."""
        if self._journal is None:
            return base.silent(self.source, self._clock(), Liveness.OFF)
        return await base.bounded(self.source, self._clock, self._look(self._journal))

    async def _look(self, journal: Journal) -> Observation:
        now = self._clock()
        if not self._told.listens and now - self._read_at >= AGAIN:
            self._read_at = now
            try:
                lines = await journal.read()
            except errors.ClientError as error:
                off = error.code == "journal.no-tool"
                liveness = Liveness.OFF if off else Liveness.LOST
                return base.silent(self.source, self._clock(), liveness, error.trouble)
            if not self._told.listens:
                self._told.begin()
                self._told.take(lines)
        return Observation(source=self.source, at=self._clock(), journal=self._told.facts)
