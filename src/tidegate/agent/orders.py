# SPDX-License-Identifier: Apache-2.0
"""What people ask of recovery over the control socket: a pause, its end, the plan, one subject now. Answers are told like findings."""

import json
import math
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Protocol

import msgspec

from tidegate.core import ids
from tidegate.core.action import Action
from tidegate.core.finding import Report
from tidegate.core.ids import Subject, SubjectKind
from tidegate.history.store import HistoryEvent
from tidegate.recovery.choose import Turn, Verdict
from tidegate.recovery.step import Asked, Event, Observed, Paused, Resumed, Step
from tidegate.report import document
from tidegate.report.terminal import Style, Terminal, columns, duration, harmless

EXIT_OK, EXIT_WAITS, EXIT_USAGE, EXIT_TIMEOUT = 0, 1, 2, 3
LONGEST: Final = 7 * 86400.0
"""Seconds: what is to last longer is a matter of configuration (``recovery.enabled``)."""
_MENDED: Final = frozenset(
    {SubjectKind.INSTANCE, SubjectKind.POOL, SubjectKind.SATELLITE, SubjectKind.INCUS}
)
_WHAT: Final = {
    SubjectKind.INSTANCE: "start it",
    SubjectKind.POOL: "have Incus mount it again",
    SubjectKind.SATELLITE: "bring it back",
    SubjectKind.INCUS: "restart it",
}
_STYLES: Final = {Turn.ACTS: Style.GOOD, Turn.BUSY: Style.GOOD, Turn.GIVEN_UP: Style.BAD}


class Recovering(Protocol):
    """Whose recovery it is."""

    @property
    def report(self) -> Report:
        """What everything is worth."""

    @property
    def sentence(self) -> str:
        """What recovery does now, or why nothing."""

    @property
    def acts(self) -> bool:
        """False where nothing is ever done: it only observes."""

    def tell(self, event: Event) -> None:
        """Have the next cycle begin with ``event``."""

    def preview(self, event: Event) -> Step:
        """Return what a step after ``event`` would do; nothing is done."""

    async def next_report(self) -> Report:
        """Return the next report when it is there."""

    def note(self, event: HistoryEvent) -> None:
        """Have history remember ``event``."""


class Orders:
    """Answers the requests ``pause``, ``resume``, ``plan`` and ``recover``. ``boottime`` gives seconds since boot."""

    def __init__(self, scene: Recovering, boottime: Callable[[], float]) -> None:
        self._scene = scene
        self._boottime = boottime

    async def answer(
        self, request: dict[str, Any], terminal: Terminal
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the one answer to ``request``."""
        match request.get("op"):
            case "plan":
                yield self._plan(request, terminal)
            case "recover":
                yield await self._recover(request)
            case _ if not self._scene.acts:
                yield {"exit": EXIT_USAGE, "text": _OBSERVES}
            case "pause":
                yield await self._pause(request)
            case _:
                yield await self._resume()

    # --- pause ------------------------------------------------------------------------------------
    async def _pause(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            length = msgspec.convert(request.get("for"), float | None)
        except msgspec.ValidationError as error:
            return {"exit": EXIT_USAGE, "text": f"tidegate pause: {error}\n"}
        if length is not None and not 0 < length <= LONGEST:
            text = (
                f"tidegate pause: at most {duration(LONGEST)}; for good: recovery.enabled = false\n"
            )
            return {"exit": EXIT_USAGE, "text": text}
        until = None if length is None else self._boottime() + length
        end = f"for {duration(length)}" if length is not None else "until `tidegate resume`"
        text = f"recovery is paused {end}, at the longest until the next boot; what is on its way goes on"
        await self._told(Paused(until=until), "recovery.paused", text)
        return {"exit": EXIT_OK, "text": f"{text}\n"}

    async def _resume(self) -> dict[str, Any]:
        await self._told(Resumed(), "recovery.resumed", "recovery goes on")
        return {"exit": EXIT_OK, "text": f"recovery goes on: {self._scene.sentence}\n"}

    async def _told(self, event: Event, code: str, text: str, subject: str = "") -> None:
        """Have ``event`` taken, and note who asked: a person."""
        at = self._boottime()
        self._scene.note(HistoryEvent(at=at, kind="agent", code=code, subject=subject, text=text))
        self._scene.tell(event)
        await self._scene.next_report()

    # --- one subject ------------------------------------------------------------------------------
    async def _recover(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            subject = Subject.parse(str(request.get("subject", "")))
        except ValueError as error:
            return {"exit": EXIT_USAGE, "text": f"tidegate recover: {error}\n"}
        if subject.kind not in _MENDED:
            text = f"tidegate recover: nothing can be done for {subject} itself; see: tidegate why {subject}\n"
            return {"exit": EXIT_USAGE, "text": text}
        if self._scene.report.state(subject) is None:
            return {
                "exit": EXIT_USAGE,
                "text": f"tidegate recover: nothing is known of {subject}\n",
            }
        asked = Asked(subject=subject)
        seen = self._scene.preview(asked)
        dry = bool(request.get("dry_run"))
        if not dry and not self._scene.acts:
            return {"exit": EXIT_USAGE, "text": _OBSERVES}
        if not dry:
            await self._told(
                asked, "recovery.asked", f"asked to recover {subject} now", str(subject)
            )
        rows = [row for row in _rows(seen, self._scene.report) if row["subject"] == str(subject)]
        rows = rows or [_quiet(subject, self._scene.report)]
        code = EXIT_OK if rows[0]["turn"] in {Turn.ACTS, Turn.BUSY, Turn.NOTHING} else EXIT_WAITS
        if request.get("format") == "json":
            return {
                "exit": code,
                "text": _json({"format": document.FORMAT, "dry_run": dry, **rows[0]}),
            }
        would = "would: " if dry else ""
        return {"exit": code, "text": f"{would}{harmless(_line(rows[0]))}\n"}

    # --- the plan ---------------------------------------------------------------------------------
    def _plan(self, request: dict[str, Any], terminal: Terminal) -> dict[str, Any]:
        """Say what would be done in what order, and of the rest why not now."""
        seen = self._scene.preview(Observed())
        rows = [row for row in _rows(seen, self._scene.report) if row["turn"] != Turn.NOTHING]
        if request.get("format") == "json":
            plan = {
                "format": document.FORMAT,
                "node": self._scene.report.node,
                "at": self._scene.report.at,
                "sentence": seen.sentence,
                "acts": self._scene.acts,
                "wake_at": seen.wake_at,
                "plan": rows,
            }
            return {"exit": EXIT_OK, "text": _json(plan)}
        return {"exit": EXIT_OK, "text": _table(seen.sentence, rows, terminal)}


def _rows(seen: Step, report: Report) -> list[dict[str, Any]]:
    """Return a row for each verdict, in the order in which things would be done."""
    acting = {str(action.subject): action for action in seen.actions}
    return [
        {
            "order": number,
            "subject": str(verdict.subject),
            "turn": verdict.turn,
            "what": _what(verdict, acting.get(str(verdict.subject))),
            "why": _why(verdict, seen, report),
            "again_at": verdict.again_at,
            "waits_for": [str(subject) for subject in verdict.standing.waits_for],
        }
        for number, verdict in enumerate(seen.verdicts, start=1)
    ]


def _quiet(subject: Subject, report: Report) -> dict[str, Any]:
    """Return the row of a subject that recovery sees no need to act on."""
    state = report.state(subject)
    good = state is not None and state.ready
    return {
        "subject": str(subject),
        "turn": Turn.NOTHING if good else Turn.LEFT,
        "what": "",
        "why": (state.summary if state is not None else "") or "nothing can be done about it here",
        "again_at": None,
        "waits_for": [],
    }


def _what(verdict: Verdict, action: Action | None) -> str:
    if action is not None and verdict.subject == ids.SATELLITE:
        return str(type(action).__struct_config__.tag).replace("-", " ")
    return _WHAT.get(verdict.subject.kind, "")


def _why(verdict: Verdict, seen: Step, report: Report) -> str:
    error = seen.state.errors.get(str(verdict.subject), "")
    match verdict.turn:
        case Turn.NOTHING:
            return f"nothing is to be done: it is {verdict.standing.will}"
        case Turn.WAITS:
            cause = verdict.standing.waits_for[0]
            state = report.state(cause)
            summary = f": {state.summary}" if state is not None and state.summary else ""
            return f"waits for {cause}{summary}"
        case Turn.PAUSES:
            wait = max(0.0, (verdict.again_at or report.at) - report.at)
            again = "not again in this boot" if math.isinf(wait) else f"again in {duration(wait)}"
            return "; ".join(part for part in (again, verdict.text or error) if part)
        case Turn.HELD:
            return "could go; held: recovery is paused or switched off"
        case Turn.GIVEN_UP | Turn.CLOSED | Turn.LEFT:
            return verdict.text
        case _:
            return verdict.text or _SAID[verdict.turn]


_SAID: Final = {
    Turn.ACTS: "now",
    Turn.BUSY: "goes on",
    Turn.LOOKS: "is looked at again first",
    Turn.QUEUES: "in turn: others go first (priority, delay, the number of starts at once)",
}
_OBSERVES: Final = "this agent observes only (--observe): it acts on nothing, whatever is asked\n"


def _line(row: dict[str, Any]) -> str:
    what = f" {row['what']}:" if row["what"] and row["turn"] != Turn.NOTHING else ""
    return f"{row['subject']}:{what} {row['why']}"


def _table(sentence: str, rows: list[dict[str, Any]], terminal: Terminal) -> str:
    lines = [terminal.wrap(f"recovery {sentence}", indent=2, first=0)]
    cells = [(row["turn"].value, row["subject"], row["what"]) for row in rows]
    widths = columns(cells)
    for row, (turn, subject, what) in zip(rows, cells, strict=True):
        style = _STYLES.get(row["turn"], Style.WARN)
        head = f"{terminal.paint(f'{turn:<{widths[0]}}', style)}  {harmless(subject):<{widths[1]}}  {what:<{widths[2]}}"
        lines.append(f"  {head}  {harmless(row['why'])}".rstrip())
    return "\n".join(lines) + "\n"


def _json(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n"
