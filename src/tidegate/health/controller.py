# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR controller: does one answer, which, and how fast."""

from typing import Final
from urllib.parse import urlsplit

from tidegate.core import ids
from tidegate.core.facts import ControllerFacts
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Fact, Liveness, Source, SourceState
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Wants

OLDEST_API: Final = (1, 13)
"""The first REST API in which storage pools can be listed without asking satellites (LINSTOR's rest_v1_changelog.md)."""


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
                _finding(view, state, "source.new", "no controller has answered yet", waiting=True)
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
    return [*_of_answer(view, state, fact.value), *_place(view, state, fact.value)]


def _of_answer(view: View, state: SourceState, facts: ControllerFacts) -> list[Finding]:
    if (spoken := _numbers(facts.rest_api_version)) and spoken < OLDEST_API:
        text = f"{facts.url} is LINSTOR {facts.version}, REST API {facts.rest_api_version}"
        return [_finding(view, state, "controller.too-old", text)]
    if facts.latency > view.policy.slow_after:
        limit = f"{view.policy.slow_after:.0f}"
        text = f"{facts.url} took {facts.latency:.1f} s to answer"
        return [_finding(view, state, "controller.slow", text, limit=limit)]
    return []


def _place(view: View, state: SourceState, facts: ControllerFacts) -> list[Finding]:
    """Say where the controller lives, if that makes the next boot wait for itself."""
    findings = []
    name = urlsplit(facts.url).hostname or ""
    for instance in (view.snapshot.instances.value if view.snapshot.instances else {}).values():
        if name in {instance.id.name, *instance.addresses}:
            text = f"{facts.url} is instance {instance.id} of this Incus"
            findings.append(_finding(view, state, "controller.in-own-instance", text))
    host = view.snapshot.host
    device = host.value.controller_database if host is not None else None
    if device is not None and device.startswith("/dev/drbd"):
        text = f"the data base of the controller on this host is mounted from {device}"
        findings.append(_finding(view, state, "controller.on-own-storage", text, device=device))
    return findings


def _numbers(version: str) -> tuple[int, ...]:
    """Return ``1.28.0`` as (1, 28, 0); () when it does not begin like a version."""
    found = []
    for part in version.split("."):
        if not part.isdecimal() or len(part) > 9:
            break
        found.append(int(part))
    return tuple(found)


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
    others = len([url for url in facts.configured if url != facts.url])
    active = f" (the active one of {others + 1})" if others else ""
    speed = f"{facts.latency * 1000:.0f} ms"
    return f"LINSTOR {facts.version} at {facts.url}{active} answers in {speed}"
