# SPDX-License-Identifier: Apache-2.0
"""What happened, to journal and history. Writing may take as long as a disk likes: it is done off the loop, in order."""

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence

from tidegate.core.action import Outcome
from tidegate.core.finding import Finding, Grade, Report
from tidegate.history.store import History, HistoryEvent

Measures = tuple[tuple[str, str, float], ...]
"""Figures of this boot: name, subject or "", seconds."""
_Entry = list[HistoryEvent] | Outcome | Measures
MOST_WAITING = 10_000
"""Entries that may wait for the disk; with more, the newest are dropped and counted."""
MOST_LOGGED = 3
"""Subjects that get the same finding at once, up to so many, are logged one by one."""
_NO_NEWS = frozenset({"source.new", "device.not-looked"})
"""That something has not been looked at yet is true at every start, and worth nobody's while."""
_log = logging.getLogger("tidegate")


class Recorder:
    """Remembers what it has told, so that each finding is told once when it comes and once when it goes."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(MOST_WAITING)
        self._told: dict[tuple[str, str], Finding] = {}
        self._sentence = ""
        self._next: _Entry | None = None
        """Taken from the queue, not yet by a thread: a task that is cancelled meanwhile loses nothing."""
        self._one_at_a_time = threading.Lock()
        """A thread that writes goes on when its task is cancelled."""
        self.dropped = 0

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            self._next = await self._queue.get()
            await asyncio.to_thread(self._write_next)

    async def finish(self, within: float) -> None:
        """Write what still waits, for up to ``within`` seconds, then close the file. :meth:`run` must have ended."""
        try:
            async with asyncio.timeout(within):
                await asyncio.to_thread(self._write_next)
                while not self._queue.empty():
                    self._next = self._queue.get_nowait()
                    await asyncio.to_thread(self._write_next)
        except TimeoutError:
            _log.warning("history: %d entries were not written before the end", self._queue.qsize())
        await asyncio.to_thread(self._close)

    def _write_next(self) -> None:
        with self._one_at_a_time:
            entry, self._next = self._next, None
            if isinstance(entry, Outcome):
                self._history.add_outcome(entry)
            elif isinstance(entry, tuple):
                self._history.add_measures(entry)
            elif entry is not None:
                self._history.add_events(entry)

    def _close(self) -> None:
        with self._one_at_a_time:
            self._history.close()

    def report(self, report: Report, sentence: str) -> None:
        """Tell what is new in ``report``, and ``sentence`` when it changed."""
        events = list(self._changes(report))
        if sentence != self._sentence:
            self._sentence = sentence
            events.append(
                HistoryEvent(
                    at=report.at, kind="sentence", code="agent.sentence", subject="", text=sentence
                )
            )
            _log.info("%s", sentence, extra={"TIDEGATE_EVENT": "sentence"})
        if events:
            self._put(events)

    def note(self, event: HistoryEvent) -> None:
        """Remember something that was told to the journal by somebody else."""
        self._put([event])

    def measured(self, measures: Measures) -> None:
        """Remember figures of this boot."""
        self._put(measures)

    def outcome(self, outcome: Outcome) -> None:
        """Tell what came of an action."""
        _log.info(
            "%s: %s (%.2f s)",
            outcome.action.subject,
            outcome.text,
            outcome.ended_at - outcome.started_at,
            extra={
                "TIDEGATE_EVENT": f"action-{outcome.kind}",
                "TIDEGATE_CODE": outcome.code,
                "TIDEGATE_SUBJECT": str(outcome.action.subject),
                "TIDEGATE_CAUSE": outcome.action.cause,
                "TIDEGATE_BEFORE": outcome.before,
                "TIDEGATE_AFTER": outcome.after,
            },
        )
        self._put(outcome)

    def _changes(self, report: Report) -> Iterator[HistoryEvent]:
        now = {
            (f.code, str(f.subject)): f
            for f in report.findings
            if f.grade is not Grade.OK and f.code not in _NO_NEWS
        }
        come = [finding for key, finding in now.items() if key not in self._told]
        gone = [finding for key, finding in self._told.items() if key not in now]
        self._told = now
        for kind, findings in (("finding", come), ("cleared", gone)):
            self._log_changes(kind, findings)
            for finding in findings:
                yield HistoryEvent(
                    at=report.at,
                    kind=kind,
                    code=finding.code,
                    subject=str(finding.subject),
                    text=_text(kind, finding),
                )

    def _log_changes(self, kind: str, findings: Sequence[Finding]) -> None:
        """Log every change; what comes or goes with many subjects at once is one entry that counts them."""
        groups: dict[str, list[Finding]] = {}
        for finding in findings:
            groups.setdefault(finding.code, []).append(finding)
        for group in groups.values():
            told = group[:1] if len(group) > MOST_LOGGED else group
            more = f" and {len(group) - 1} more" if len(group) > MOST_LOGGED else ""
            for finding in told:
                waits = kind == "cleared" or finding.waiting
                subject = str(finding.subject)
                extra = {
                    "TIDEGATE_EVENT": kind,
                    "TIDEGATE_CODE": finding.code,
                    "TIDEGATE_SUBJECT": subject,
                }
                level = logging.INFO if waits else logging.WARNING
                _log.log(level, "%s%s: %s", subject, more, _text(kind, finding), extra=extra)

    def _put(self, entry: _Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            self.dropped += 1


def _text(kind: str, finding: Finding) -> str:
    return finding.observed if kind == "finding" else f"over: {finding.observed}"
