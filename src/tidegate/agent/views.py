# SPDX-License-Identifier: Apache-2.0
"""Answers to commands, rendered where the findings are: the same for the agent's socket and for a command without agent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

import msgspec

from tidegate import __version__
from tidegate.agent import verdicts
from tidegate.agent.orders import Orders, Recovering
from tidegate.config.policy import GatePolicy
from tidegate.core import ids
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Snapshot
from tidegate.gate import decide
from tidegate.health import why
from tidegate.history.store import HistoryEvent
from tidegate.report import chain, document, status
from tidegate.report.terminal import Terminal

HEARTBEAT = 5.0
"""Seconds after which a waiting command is told something even if nothing changed, so that it knows we live."""
EXIT_OF_GRADE = {Grade.OK: 0, Grade.FAILING: 1, Grade.DEGRADED: 4, Grade.UNKNOWN: 5}
EXIT_USAGE = 2
_NOT_HEARD = frozenset({"source.new", "incus.starting"})


class Scene(Recovering, Protocol):
    """What views look at."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""

    def mutes(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request about mutes."""


class Views:
    """Answers requests about one scene. ``boottime`` gives seconds since boot."""

    def __init__(self, scene: Scene, boottime: Callable[[], float]) -> None:
        self._scene = scene
        self._boottime = boottime

    async def answer(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answers to ``request``; the last one carries ``exit``."""
        terminal = Terminal(width=_int(request.get("width"), 100), color=bool(request.get("color")))
        match request.get("op"):
            case "ping":
                yield {"exit": 0, "text": f"tidegate {__version__}\n"}
            case "status":
                yield self._status(request, terminal)
            case "why":
                yield self._why(request, terminal)
            case "snapshot":
                yield {"exit": 0, "text": msgspec.json.encode(self._scene.snapshot).decode() + "\n"}
            case "mute" | "unmute" | "mutes":
                yield self._scene.mutes(request)
            case "wait":
                async for answer in self._wait(request):
                    yield answer
            case "plan" | "recover" | "pause" | "resume":
                async for answer in Orders(self._scene, self._boottime).answer(request, terminal):
                    yield answer
            case "gate":
                async for answer in self._gate(request):
                    yield answer
            case other:
                yield {
                    "exit": EXIT_USAGE,
                    "text": f"this agent ({__version__}) does not know how to answer {other!r}\n",
                }

    def _status(self, request: dict[str, Any], terminal: Terminal) -> dict[str, Any]:
        scene = self._scene
        if request.get("format") == "json":
            text = _json(document.status(scene.report, scene.snapshot, sentence=scene.sentence))
        else:
            text = status.render(scene.report, scene.snapshot, terminal, sentence=scene.sentence)
        return {"exit": EXIT_OF_GRADE[scene.report.grade], "text": text}

    def _why(self, request: dict[str, Any], terminal: Terminal) -> dict[str, Any]:
        report = self._scene.report
        try:
            subject = Subject.parse(str(request.get("subject", "")))
        except ValueError as error:
            return {"exit": EXIT_USAGE, "text": f"tidegate why: {error}\n"}
        state = report.state(subject)
        if state is None:
            known = [text for text in report.subjects if text.startswith(subject.kind)]
            listed = f"; known: {', '.join(known[:8])}" if known else ""
            return {
                "exit": EXIT_USAGE,
                "text": f"tidegate why: nothing is known of {subject} on {report.node}{listed}\n",
            }
        steps = why.why(report, subject)
        if request.get("format") == "json":
            text = _json(document.chain(report, state, steps))
        else:
            text = chain.render(report, state, steps, terminal)
        return {"exit": EXIT_OF_GRADE[state.grade], "text": text}

    async def _wait(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        try:
            subjects = tuple(Subject.parse(str(text)) for text in request.get("subjects") or ())
        except ValueError as error:
            yield {"exit": EXIT_USAGE, "text": f"tidegate wait: {error}\n"}
            return
        limit = float(request.get("timeout", 300.0))
        began = self._boottime() - float(request.get("waited", 0.0))
        report = self._scene.report
        while True:
            about = subjects or _unless_unknown(report)
            verdict = decide.decide(report, about, waited=self._boottime() - began, limit=limit)
            if verdict.kind is not decide.VerdictKind.WAIT:
                as_json = request.get("format") == "json"
                text = _json(_verdict(verdict)) if as_json else f"{verdict.sentence}\n"
                yield {"exit": verdict.exit_code, "text": text}
                return
            yield {"progress": verdict.sentence}
            left = max(0.0, limit - (self._boottime() - began))
            report = await self._next_report(min(HEARTBEAT, left + 0.01))

    async def _gate(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        try:
            policy = msgspec.convert(request["policy"], GatePolicy)
            waited = msgspec.convert(request["waited"], float)
        except (KeyError, msgspec.ValidationError) as error:
            yield {"exit": EXIT_USAGE, "text": f"tidegate gate: {error}\n"}
            return
        judging = verdicts.stream(self._scene, self._boottime, policy, waited=waited)
        async with contextlib.aclosing(judging):
            async for verdict in judging:
                if verdict.kind is decide.VerdictKind.WAIT:
                    yield {"verdict": msgspec.to_builtins(verdict)}
                else:
                    self._note(verdict)
                    yield {"verdict": msgspec.to_builtins(verdict), "exit": verdict.exit_code}

    def _note(self, verdict: decide.Verdict) -> None:
        first = next((str(cause.subject) for cause in verdict.waiting_for), "")
        passed = verdict.kind is decide.VerdictKind.PASS
        self._scene.note(
            HistoryEvent(
                at=self._boottime(),
                kind="verdict",
                code="gate.passed" if passed else "gate.gave-up",
                subject=first,
                text=verdict.sentence,
            )
        )

    async def _next_report(self, within: float) -> Report:
        try:
            async with asyncio.timeout(within):
                return await self._scene.next_report()
        except TimeoutError:
            return self._scene.report


def _unless_unknown(report: Report) -> tuple[Subject, ...]:
    """Return no subjects, for all that is wanted; where only Incus could name that and has not spoken yet, what is known and Incus."""
    known = decide.default_subjects(report)
    speaks = not any(f.subject == ids.INCUS and f.code in _NOT_HEARD for f in report.findings)
    return () if speaks or len(known) > 1 else (*known, ids.INCUS)


def _verdict(found: decide.Verdict) -> dict[str, Any]:
    return {
        "format": document.FORMAT,
        "verdict": found.kind,
        "sentence": found.sentence,
        "grade": found.grade,
        "ready": found.ready,
        "total": found.total,
        "waiting_for": [
            {"subject": str(one.subject), "summary": one.summary, "since": one.since}
            for one in found.waiting_for
        ],
    }


def _json(value: Any) -> str:
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n"


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and 20 <= value <= 1000 else default
