# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR controller: does one answer, which, and how fast."""

from tidegate.core import ids
from tidegate.core.facts import ControllerFacts
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Fact, Liveness, Source, SourceState
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Wants


def judge(view: View, wants: Wants) -> Opinion:
    """Return the opinion on the controller. On a host that has nothing of LINSTOR it is not wanted."""
    state = view.snapshot.source(Source.LINSTOR)
    wanted = state.liveness is not Liveness.OFF or bool(wants.wanted_resources or wants.missing)
    return Opinion(
        subject=ids.CONTROLLER,
        findings=tuple(_findings(view, state)),
        wanted=wanted,
        good=_good(view.snapshot.controller),
    )


def _findings(view: View, state: SourceState) -> list[Finding]:
    match state.liveness:
        case Liveness.UP:
            return _answered(view, view.snapshot.controller)
        case Liveness.NEW:
            return [
                _finding(
                    view, state, "source.new", "no controller has been asked yet", waiting=True
                )
            ]
        case Liveness.OFF:
            return [_silent(view, state, "controller.none-configured")]
        case Liveness.STARTING | Liveness.LOST:
            return [_silent(view, state, "controller.error")]


def _answered(view: View, fact: Fact[ControllerFacts] | None) -> list[Finding]:
    state = view.snapshot.source(Source.LINSTOR)
    if fact is None:
        return [_finding(view, state, "source.new", "no controller has answered yet", waiting=True)]
    if not view.is_fresh(fact, Source.LINSTOR):
        limit = f"{view.policy.stale_after:.0f}"
        text = f"the last answer of a controller is {view.age(fact):.0f} s old"
        return [_finding(view, state, "source.stale", text, limit=limit)]
    latency = fact.value.latency
    if latency > view.policy.slow_after:
        limit = f"{view.policy.slow_after:.0f}"
        text = f"{fact.value.url} took {latency:.1f} s to answer"
        return [_finding(view, state, "controller.slow", text, limit=limit)]
    return []


def _silent(view: View, state: SourceState, otherwise: str) -> Finding:
    """Return the finding that the client's trouble stands for; ``otherwise`` where it is none we know."""
    trouble = state.trouble
    code = trouble.code if trouble is not None else otherwise
    if code not in catalogue.CODES:
        code = otherwise
    text = trouble.text if trouble is not None else "no controller answers"
    return _finding(
        view,
        state,
        code,
        f"{text}, for {view.lasts(state.since):.0f} s"
        if state.since and state.liveness is not Liveness.OFF
        else text,
        waiting=not catalogue.needs_person(code)
        and view.lasts(state.since) < view.policy.wait_grace,
        remedy=trouble.hint if trouble is not None else "",
    )


def _finding(
    view: View,
    state: SourceState,
    code: str,
    observed: str,
    *,
    waiting: bool = False,
    remedy: str = "",
    **context: str,
) -> Finding:
    return catalogue.finding(
        code,
        ids.CONTROLLER,
        observed,
        source=Source.LINSTOR,
        age=view.lasts(state.answered_at),
        since=state.since,
        waiting=waiting,
        remedy=remedy,
        context=context,
    )


def _good(fact: Fact[ControllerFacts] | None) -> str:
    if fact is None:
        return ""
    facts = fact.value
    return f"LINSTOR {facts.version} at {facts.url} answers in {facts.latency * 1000:.0f} ms"
