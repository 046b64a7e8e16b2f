# SPDX-License-Identifier: Apache-2.0
"""The graph of causes while it is built: nodes, links, and which of them stand first."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tidegate.boot.codes import CODES
from tidegate.boot.model import Cause, Confidence, Event, Evidence, Link

MAX_EVIDENCE: Final = 8
MAX_CAUSES: Final = 400
_LASTS: Final = 8
"""From this weight on a cause does not pass by itself, and comes before those that do."""
_CHAIN: Final = ("drbd.", "storage.", "satellite.", "controller.", "incus.", "order.")
"""Layers between the host and an instance: what lasts there matters more than a late start, which is every boot's without an order."""
_ENDS: Final = ("instance.lost", "instance.late", "pool.unavailable", "pool.not-loaded")


def evidence(events: Iterable[Event | None]) -> tuple[Evidence, ...]:
    """Return the lines of ``events`` in order of time, each once, at most ``MAX_EVIDENCE``: the first ones, and the last."""
    lines = {
        (line.source, line.line, line.cursor, line.text): line
        for event in events
        if event is not None
        for line in event.evidence
    }
    found = sorted(lines.values(), key=lambda line: line.at or 0.0)
    if len(found) > MAX_EVIDENCE:
        found = [*found[: MAX_EVIDENCE - 1], found[-1]]
    return tuple(found)


class Graph:
    """Causes by key, and the links between them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Cause] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.hits: dict[str, list[str]] = {}
        self._next: dict[str, list[str]] = {}

    def add(
        self,
        code: str,
        subject: str,
        sentence: str,
        *,
        begin: float,
        end: float | None = None,
        events: Iterable[Event | None] = (),
        confidence: Confidence = Confidence.CERTAIN,
        not_seen: Sequence[str] = (),
        alternatives: Sequence[str] = (),
        tell: str = "",
        note: bool = False,
    ) -> str:
        """Add a cause and return its key; what is there already stays as it was first told."""
        key = f"{code}:{subject}"
        if key in self.nodes or len(self.nodes) >= MAX_CAUSES:
            return key
        self.nodes[key] = Cause(
            key=key,
            code=code,
            subject=subject,
            confidence=confidence,
            sentence=sentence,
            remedy=CODES[code].remedy,
            begin=begin,
            end=end,
            evidence=evidence(events),
            not_seen=tuple(not_seen),
            alternatives=tuple(alternatives),
            tell=tell,
            note=note,
        )
        return key

    def link(self, cause: str, effect: str, why: str, events: Iterable[Event | None] = ()) -> None:
        """Say that ``effect`` came of ``cause``. A link that would close a circle, or to what is not there, is left out."""
        if cause == effect or cause not in self.nodes or effect not in self.nodes:
            return
        if cause in self._after(effect):
            return
        if (cause, effect) in self.links:
            return
        self.links[cause, effect] = Link(
            cause=cause, effect=effect, why=why, evidence=evidence(events)
        )
        self._next.setdefault(cause, []).append(effect)
        found = self.nodes[cause]
        if found.note:
            self.nodes[cause] = msgspec.structs.replace(found, note=False)

    def hit(self, key: str, subject: str) -> None:
        """Say that ``subject`` was hit by a cause directly."""
        self.hits.setdefault(key, []).append(subject)

    def _after(self, key: str) -> set[str]:
        found: set[str] = set()
        todo = [key]
        while todo:
            for effect in self._effects(todo.pop()):
                if effect not in found:
                    found.add(effect)
                    todo.append(effect)
        return found

    def _effects(self, key: str) -> list[str]:
        return self._next.get(key, [])

    def build(self) -> tuple[tuple[Cause, ...], tuple[Link, ...]]:
        """Return the causes, first causes first and each followed by its effects, then notes; and the links."""
        has_cause = {effect for _, effect in self.links}
        firsts = [key for key, node in self.nodes.items() if key not in has_cause and not node.note]
        firsts.sort(key=self._importance)
        order: dict[str, None] = {}
        for key in firsts:
            self._walk(key, order)
        order |= dict.fromkeys(self.nodes)
        causes = tuple(
            msgspec.structs.replace(
                self.nodes[key],
                first=key in firsts,
                effects=(*self._effects(key), *dict.fromkeys(self.hits.get(key, ()))),
            )
            for key in order
        )
        return causes, tuple(self.links.values())

    def _importance(self, key: str) -> tuple[int, int, int, int, float, int]:
        """Return where a first cause stands: by what was lost to it, then what lasts in the chain itself, then what was late for it."""
        after = self._after(key) | {key}
        codes = [self.nodes[one].code for one in after]
        lost = codes.count("instance.lost")
        hit = sum(codes.count(code) for code in _ENDS)
        node = self.nodes[key]
        sure = list(Confidence).index(node.confidence)
        lasts = 0 if CODES[node.code].weight >= _LASTS else 1
        grave = 0 if not lasts and node.code.startswith(_CHAIN) else 1
        return (-lost, grave, -min(hit, 1), lasts, node.begin, sure)

    def _walk(self, key: str, order: dict[str, None]) -> None:
        todo = [key]
        while todo:
            one = todo.pop()
            if one not in order:
                order[one] = None
                todo.extend(reversed(self._effects(one)))
