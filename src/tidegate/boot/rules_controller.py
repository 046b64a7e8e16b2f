# SPDX-License-Identifier: Apache-2.0
"""Why the controller did not answer Incus: refused, unreachable, gone without a word, or answering with errors.

Incus asks the controller with no time limit (facts/incus.md 4.3): a controller that takes no connection, or takes it and never answers,
blocks the start of incusd without a line (facts/observed.md s7, s8).
"""

import itertools
from typing import Final

from tidegate.boot import errors, rules_exit, rules_guard
from tidegate.boot.case import Case, secs
from tidegate.boot.errors import Wrong
from tidegate.boot.facts import CONTROLLER_UNIT, INCUS_UNIT, STARTUP_UNIT
from tidegate.boot.model import Confidence, Event, Kind

_CODES: Final = {
    Wrong.CONTROLLER_REFUSED: (
        "controller.refused",
        "refused the connection: nothing listened on its port",
    ),
    Wrong.CONTROLLER_UNREACHABLE: ("controller.unreachable", "could not be reached"),
    Wrong.NETWORK_DOWN: (
        "controller.unreachable",
        "could not be reached: this host had no way to it",
    ),
    Wrong.CONTROLLER_TIMEOUT: ("controller.black-holed", "could not be reached in time"),
    Wrong.CONTROLLER_HUNG: ("controller.hung", "took the connection and did not answer in time"),
    Wrong.CONTROLLER_NAME: ("controller.name", "could not be found: its name was not resolved"),
    Wrong.CONTROLLER_TLS: ("controller.tls", "was not accepted: TLS failed"),
    Wrong.CONTROLLER_DENIED: ("controller.denied", "refused the credentials"),
    Wrong.CONTROLLER_ERROR: ("controller.error", "answered with an error of its own"),
}
_FOUND: Final = {
    "controller.timeout-connect": "controller.black-holed",
    "controller.timeout": "controller.hung",
    "controller.refused": "controller.refused",
    "controller.unreachable": "controller.unreachable",
    "controller.error": "controller.error",
    "controller.disconnected": "controller.unreachable",
}
"""The agent's findings about the controller, and the causes that they prove."""
_BY_AGENT: Final = {
    "controller.black-holed": "could not be reached in time",
    "controller.hung": "took the connection and did not answer in time",
    "controller.refused": "refused the connection: nothing listened on its port",
    "controller.unreachable": "could not be reached",
}
_SILENCE: Final = 10.0
"""Seconds without a line of incusd, while it sets up its pools, that a fast machine never needs."""
_SLOWNESS: Final = 15.0
"""A slow machine: as many times as long as incusd needed for its first line (facts/fullstack-observed.md s6: 12 s, then 43 s)."""


def why(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause for errors of asking the controller."""
    code, text = _CODES[wrong]
    begin, last = events[0].at, events[-1].last or events[-1].at
    guard = rules_guard.failed(case, begin, last, events)
    if guard:
        return guard
    found = _agent_says(case)
    by_guard = wrong is Wrong.CONTROLLER_ERROR and "Tidegate: " in events[0].detail
    if (wrong is Wrong.CONTROLLER_TIMEOUT or by_guard) and found is not None:
        text = _BY_AGENT.get(_FOUND[found.data["code"]], text)
        code = _FOUND[found.data["code"]]
    until = f" from {secs(begin)} to {secs(last)}" if last > begin else f" at {secs(begin)}"
    key = case.graph.add(
        code,
        "controller",
        f"The controller {text}{until}{_answer(wrong, events)}.",
        begin=begin,
        end=end,
        events=[*events[:3], events[-1], found],
        alternatives=("controller.hung",)
        if code == "controller.black-holed" and found is None
        else (),
        tell="whether a TCP connection to its port is taken"
        if code == "controller.black-holed" and found is None
        else "",
    )
    _own_controller(case, key, begin)
    _network(case, key, wrong, begin)
    case.graph.link(turned_away(case), key, "the controller says so itself")
    return key


def _answer(wrong: Wrong, events: list[Event]) -> str:
    if wrong is not Wrong.CONTROLLER_ERROR:
        return ""
    return f" (“{events[0].detail[-160:]}”)"


def _agent_says(case: Case) -> Event | None:
    return next(
        (e for e in case.facts.all(Kind.FINDING, "controller") if e.data.get("code") in _FOUND),
        None,
    ) or _agent_said_in_words(case)


_WORDS: Final = (
    ("no connection within", "controller.timeout-connect"),
    ("no complete answer within", "controller.timeout"),
    ("onnection refused", "controller.refused"),
    ("nothing listens", "controller.refused"),
    (": answered 5", "controller.error"),
)


def code_of_words(text: str) -> str:
    """Return the cause that our own words about a controller prove; empty when they prove none."""
    return next((_FOUND[code] for words, code in _WORDS if words in text), "")


def _agent_said_in_words(case: Case) -> Event | None:
    """Know the agent's words where a text export lost the fields."""
    for event in case.facts.all(Kind.FINDING, "controller"):
        text = event.data.get("text", "")
        code = next((code for words, code in _WORDS if words in text), "")
        if code:
            return _with_code(event, code)
    return None


def _with_code(event: Event, code: str) -> Event:
    return Event(
        kind=event.kind,
        subject=event.subject,
        at=event.at,
        data={**event.data, "code": code},
        evidence=event.evidence,
    )


def _own_controller(case: Case, key: str, begin: float) -> None:
    """Look whether the controller runs on this host, and was late or failed itself."""
    facts = case.facts
    failed = own_failed(case)
    if failed:
        case.graph.link(failed, key, "it runs on this host")
        return
    started = facts.first(Kind.CONTROLLER_STARTED) or facts.first(
        Kind.UNIT_STARTED, CONTROLLER_UNIT
    )
    begun = facts.begun(CONTROLLER_UNIT)
    if started is not None and begun is not None and started.at > begin:
        cause = case.graph.add(
            "controller.late",
            "controller",
            f"The controller on this host answered only from {secs(started.at)} on (started at {secs(begun)}).",
            begin=begun,
            end=started.at,
            events=[facts.first(Kind.UNIT_STARTING, CONTROLLER_UNIT), started],
        )
        case.graph.link(cause, key, "it runs on this host and was still starting", [started])


def own_failed(case: Case) -> str:
    """Return the cause if the controller's unit on this host failed, with what it said last before it; else empty."""
    facts = case.facts
    failed = facts.first(Kind.UNIT_TIMEOUT, CONTROLLER_UNIT) or facts.first(
        Kind.UNIT_FAILED, CONTROLLER_UNIT
    )
    if failed is None:
        return ""
    words = rules_exit.last_words(case, failed.at, controller=True)
    by = " by its start time-out" if failed.kind is Kind.UNIT_TIMEOUT else ""
    said = f": “{words[0].detail[:200]}”" if words else ""
    key = case.graph.add(
        "controller.failed",
        "controller",
        f"The controller on this host failed at {secs(failed.at)}{by}{said}.",
        begin=failed.at,
        events=[*words[:3], failed, facts.first(Kind.UNIT_EXITED, CONTROLLER_UNIT)],
    )
    base = [word for word in words if word.data.get("class") == "database"]
    if base:
        cause = case.graph.add(
            "controller.database",
            "controller",
            f"The controller could not use its data base at {secs(base[0].at)}: “{base[0].detail[:200]}”.",
            begin=base[0].at,
            events=base[:4],
        )
        case.graph.link(cause, key, "it said so when it ended", base[:1])
    rules_exit.link_memory(case, key, CONTROLLER_UNIT, failed.at)
    waits = case.graph.nodes.get(_WAITS)
    if waits is not None and (waits.end is None or waits.end > failed.at):
        case.graph.link(key, _WAITS, "it runs on this host", [failed])
    return key


_WAITS: Final = "satellite.no-controller:satellite"


_PASSING: Final = frozenset(
    {"OFFLINE", "CONNECTED", "ONLINE", "closed", "AUTHENTICATED", "UNKNOWN"}
)


def turned_away(case: Case) -> str:
    """Return the cause if the controller's own log holds this node in a state that does not pass (facts/linstor.md 3.1); else empty."""
    facts = case.facts
    mismatch = facts.first(Kind.CONTROLLER_ERROR)
    synced = facts.last(Kind.SATELLITE_ANSWERED)
    if mismatch is not None and (synced is None or synced.at < mismatch.at):
        key = case.graph.add(
            "controller.version-mismatch",
            "controller",
            f"Satellite and controller are of different versions ({mismatch.data.get('version', '?')}).",
            begin=mismatch.at,
            events=[mismatch],
        )
    else:
        states = [e for e in facts.all(Kind.CONTROLLER_NODE) if e.data.get("to") not in _PASSING]
        last = states[-1] if states else None
        if last is None or (synced is not None and synced.at > last.at):
            return ""
        key = case.graph.add(
            "controller.turns-away",
            "controller",
            f"The controller held node {last.data.get('node', '?')} in state {last.data.get('to', '?')} from {secs(last.at)} on: that does not pass by itself.",
            begin=last.at,
            events=states[-3:],
        )
    for effect in (
        "satellite.never-synced:satellite",
        "satellite.no-controller:satellite",
        "satellite.offline:satellite",
    ):
        case.graph.link(key, effect, "a node in this state gets no full sync")
    return key


def _network(case: Case, key: str, wrong: Wrong, begin: float) -> None:
    facts = case.facts
    if wrong not in {Wrong.NETWORK_DOWN, Wrong.CONTROLLER_UNREACHABLE, Wrong.CONTROLLER_NAME}:
        return
    online = facts.first(Kind.UNIT_STARTED, "unit/network-online.target")
    timeout = facts.first(Kind.NETWORK_TIMEOUT) or next(
        (e for e in facts.all(Kind.UNIT_FAILED) if "wait-online" in e.subject), None
    )
    link = facts.last(Kind.LINK_UP)
    late_link = (
        link is not None
        and link.at > begin
        and link.data.get("link", "").startswith(("e", "w", "b", "t"))
    )
    if timeout is None and not late_link and not (online is not None and online.at > begin):
        return
    cause = case.graph.add(
        "network.late",
        "host",
        f"The network was not up when Incus asked the controller at {secs(begin)}"
        f"{f': it came at {secs(link.at)}' if late_link and link is not None else ''}.",
        begin=begin,
        end=link.at if late_link and link is not None else None,
        events=[timeout, online, link],
    )
    case.graph.link(cause, key, "there was no way to the controller yet", [timeout, link])


def silence(case: Case) -> str:
    """Return the cause if incusd stood still without a word between its start and the end of its set-up; else empty."""
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    if begun is None:
        return ""
    ends = [
        event
        for event in (
            facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at),
            facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=begun.at),
            facts.first(Kind.UNIT_TIMEOUT, INCUS_UNIT, after=begun.at),
            facts.first(Kind.UNIT_TIMEOUT, STARTUP_UNIT, after=begun.at),
            facts.first(Kind.UNIT_STOPPING, INCUS_UNIT, after=begun.at),
            facts.first(Kind.UNIT_EXITED, INCUS_UNIT, after=begun.at),
            facts.first(Kind.UNIT_FAILED, INCUS_UNIT, after=begun.at),
            facts.first(Kind.INCUS_FATAL, after=begun.at),
            facts.first(Kind.INCUS_PANIC, after=begun.at),
        )
        if event is not None
    ]
    end = min((event.at for event in ends), default=facts.end)
    before, after = _gap(case, begun.at, end)
    slow = max(_SILENCE, _SLOWNESS * min(_first_line(case, begun.at) - begun.at, 20.0))
    if after - before < slow or _told_at(case, after):
        return ""
    closing = next((event for event in ends if event.at == after), None)
    key = rules_guard.failed(case, before, after, []) or _no_answer(
        case, begun, closing, before, after
    )
    case.graph.hit(key, "incus")
    return key


def _told_at(case: Case, at: float) -> bool:
    """Return whether the silence ended with an error that says what was waited for: its own cause tells it."""
    waits = {Wrong.CONTROLLER_TIMEOUT, Wrong.CONTROLLER_HUNG, Wrong.CONTROLLER_UNREACHABLE}
    failures = case.facts.of(Kind.POOL_MOUNT_FAILED, Kind.POOL_LOAD_FAILED)
    return any(event.at == at and errors.of(event) in waits for event in failures)


def _first_line(case: Case, begun: float) -> float:
    """Return when incusd said its first word after ``begun``."""
    times = [
        shape.first
        for shape in case.facts.timeline.shapes
        if shape.who == "incus.service" and shape.first >= begun
    ]
    times += [event.at for event in _incus_events(case, begun)]
    return min(times, default=begun)


def _incus_events(case: Case, begun: float) -> list[Event]:
    kinds = (
        Kind.INCUS_STARTING,
        Kind.INCUS_SPOKE,
        Kind.INCUS_DATABASE,
        Kind.INCUS_POOLS_BEGAN,
        Kind.INCUS_WAITING_CLUSTER,
        Kind.POOL_READY,
        Kind.POOL_MOUNT_FAILED,
        Kind.POOL_LOAD_FAILED,
        Kind.INCUS_POOLS_DONE,
        Kind.INSTANCE_ATTEMPT_FAILED,
        Kind.INSTANCE_STARTING,
        Kind.INSTANCE_LOST,
    )
    return [event for event in case.facts.of(*kinds) if event.at >= begun]


def _gap(case: Case, begun: float, end: float) -> tuple[float, float]:
    """Return the longest stretch between ``begun`` and ``end`` in which incusd said nothing."""
    times = [begun, *(e.at for e in _incus_events(case, begun) if e.at < end), end]
    return max(itertools.pairwise(times), key=lambda pair: pair[1] - pair[0])


def _no_answer(case: Case, begun: Event, closing: Event | None, before: float, after: float) -> str:
    found = _agent_says(case)
    cluster = case.facts.first(Kind.INCUS_WAITING_CLUSTER)
    if cluster is not None and cluster.at <= after and found is None:
        return case.graph.add(
            "incus.waiting-cluster",
            "incus",
            f"incusd waited {secs(after - before)} for other members of its cluster.",
            begin=before,
            end=after if closing is not None else None,
            events=[begun, cluster, closing],
        )
    code = _FOUND[found.data["code"]] if found is not None else "controller.no-answer"
    how = "" if closing is not None else ", and had not gone on when the lines end"
    text = {
        "controller.black-holed": "The controller could not be reached: connections to it vanished. ",
        "controller.hung": "The controller took connections and did not answer. ",
    }.get(code, "")
    return case.graph.add(
        code,
        "controller",
        f"{text}incusd stood still without a word for {secs(after - before)} (from {secs(before)} to {secs(after)}) while it set up its data base, pools and networks{how}: "
        "no instance of any pool started meanwhile.",
        begin=before,
        end=after if closing is not None else None,
        events=[begun, found, closing],
        confidence=Confidence.CERTAIN if found is not None else Confidence.POSSIBLE,
        not_seen=("“Failed mounting storage pool” or any other line of incusd in that time",),
        alternatives=()
        if found is not None
        else ("controller.black-holed", "controller.hung", "incus.waiting-cluster"),
        tell=""
        if found is not None
        else "whether a TCP connection to the controller's port was taken then: no = black-holed (its machine off, a filter), "
        "yes = hung; the controller's log of that time shows the request or does not",
    )


def classify(events: list[Event]) -> dict[Wrong, list[Event]]:
    """Return events by what their errors mean, in order of time."""
    found: dict[Wrong, list[Event]] = {}
    for event in events:
        found.setdefault(errors.of(event), []).append(event)
    return found
