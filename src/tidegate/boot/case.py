# SPDX-License-Identifier: Apache-2.0
"""What the rules work on together: the facts, the stories made of them, the graph they build. And how they put numbers into words."""

import msgspec

from tidegate.boot import errors
from tidegate.boot.facts import Facts
from tidegate.boot.graph import Graph
from tidegate.boot.model import Event, InstanceStory, PoolStory


class Case(msgspec.Struct, kw_only=True):
    """One boot under examination."""

    facts: Facts
    graph: Graph
    pools: tuple[PoolStory, ...]
    instances: tuple[InstanceStory, ...]


def secs(seconds: float) -> str:
    """Return a length of time as a person says it: ``0.4 s``, ``12 s``, ``3 min 20 s``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def span(events: list[Event]) -> tuple[float, float]:
    """Return when the first and the last of ``events`` (not empty) were."""
    return events[0].at, max(event.last or event.at for event in events)


def name(subject: str) -> str:
    """Return a subject as it is said in a sentence: its name alone."""
    kind, _, rest = subject.partition("/")
    if kind == "instance":
        project, _, instance = rest.partition("/")
        return instance if project == "default" else f"{project}/{instance}"
    return rest or kind


def volumes(events: list[Event]) -> str:
    """Return what errors are about: the device that they name, else their own subject."""
    devices = list(dict.fromkeys(d for e in events if (d := errors.device_of(e.detail))))
    if devices:
        return f"device/{devices[0]}"
    return events[0].subject


def known(case: Case, code: str) -> bool:
    """Return whether a cause of this code (or, if it ends so, of this beginning of codes) was found already."""
    begin = code if code.endswith((".", "-")) else f"{code}:"
    return any(key.startswith(begin) for key in case.graph.nodes)
