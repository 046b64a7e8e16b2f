# SPDX-License-Identifier: Apache-2.0
"""Advice and results as a person reads them, and as JSON. Every figure stands beside its source."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tidegate.report.terminal import Style, Terminal, harmless
from tidegate.tuning import figure, result
from tidegate.tuning.advice import Advice, When
from tidegate.tuning.host import Looked
from tidegate.tuning.result import Applied, Result, Spread, Verdict

_INDENT = " " * 9


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``tidegate tune`` shows. ``in_force``: what was applied and what came of it; ``cost``: of the look itself."""

    advice: tuple[Advice, ...] = ()
    own: tuple[Looked, ...] = ()
    looked: tuple[Looked, ...] = ()
    in_force: tuple[tuple[Applied, Result], ...] = ()
    missing: tuple[str, ...] = ()
    cost: str = ""
    judged: bool = True
    """Enough is known of this host that no advice means that there is none."""


def render(page: Page, terminal: Terminal) -> str:
    """Return the page for a terminal."""
    lines: list[str] = []
    if not page.advice and page.judged:
        lines += ["nothing to advise: no known change would make this host's boots shorter", ""]
    elif not page.advice:
        lines += [
            "nothing can be advised yet: see below what is not judged, and what would tell",
            "",
        ]
    for one in page.advice:
        lines += [*_advice(one, terminal), ""]
    if page.own:
        lines += ["our own part of the boot:", *_looked(page.own), ""]
    if page.in_force:
        lines += ["in force:", *(line for pair in page.in_force for line in _force(*pair)), ""]
    if page.looked:
        lines += ["looked at as well:", *_looked(page.looked), ""]
    if page.missing:
        lines += ["not judged:", *(f"  {one}" for one in page.missing), ""]
    if page.cost:
        lines.append(page.cost)
    return "\n".join(lines).rstrip("\n") + "\n"


def document(page: Page) -> dict[str, Any]:
    """Return the page as plain data."""
    return {
        "advice": [{**msgspec.to_builtins(one), "by": str(one.by)} for one in page.advice],
        "own": msgspec.to_builtins(page.own),
        "in_force": [
            {"applied": msgspec.to_builtins(one), "result": msgspec.to_builtins(found)}
            for one, found in page.in_force
        ],
        "looked_at": msgspec.to_builtins(page.looked),
        "not_judged": list(page.missing),
        "cost": page.cost,
    }


def _advice(one: Advice, terminal: Terminal) -> Iterator[str]:
    gain = f"{one.gain:5.1f} s" if one.when is not When.TROUBLE else f"{one.gain:4.0f}+ s"
    yield f"{terminal.paint(gain, Style.BOLD)}  {one.title}  ({one.id})"
    if one.when is not When.ALWAYS:
        yield f"{_INDENT}when    {one.when}"
    yield f"{_INDENT}figure  {one.source}"
    for seen in one.evidence:
        yield f"{_INDENT}seen    {harmless(seen.text)}  [{seen.source}]"
    for number, line in enumerate(one.change):
        yield f"{_INDENT}{'        ' if number else 'change  '}{harmless(line)}"
    yield f"{_INDENT}risk    {one.risk}"
    yield f"{_INDENT}undo    {harmless(one.undo)}"
    yield (
        f"{_INDENT}do it   {one.by} {one.id}"
        if one.edit
        else f"{_INDENT}do it   by hand; with tidegate tune apply {one.id} --by-hand, result tells what it gains"
    )


def _looked(rows: Sequence[Looked]) -> Iterator[str]:
    for row in rows:
        yield f"  {harmless(row.what)}: {harmless(row.cost)}  [{row.source}]" + (
            f"; {harmless(row.why)}" if row.why else ""
        )


def _force(applied: Applied, found: Result) -> Iterator[str]:
    by = ", by hand" if applied.by_hand else ""
    yield f"  {applied.id}{by}, since {figure.day(applied.at)}: {_verdict(applied, found)}"


def told(applied: Applied, found: Result, whole: Result | None) -> str:
    """Return what ``tidegate tune result`` prints: the phase that was to be shorter, and the whole boot."""
    lines = [f"{applied.id}: {_verdict(applied, found)}"]
    lines += list(_compared(found))
    if whole is not None:
        lines += ["the whole boot, until the last wanted instance ran:", *_compared(whole)]
    if found.others:
        lines.append(
            f"not told apart from {', '.join(found.others)}: that changed between the same two boots"
        )
    return "\n".join(lines) + "\n"


def _verdict(applied: Applied, found: Result) -> str:
    if not applied.measure:
        return f"{found.verdict}: it shortens only {When.TROUBLE}"
    if found.before is None or found.after is None:
        wanting = "before it" if found.before is None else "since"
        return f"{found.verdict}: no boot {wanting} is recorded with this phase"
    sides = f"{found.gain:+.1f} s gained, {applied.expected:.1f} s expected"
    if found.verdict is Verdict.TOO_EARLY:
        more = result.needed(found.before.count) - found.after.count
        boots = "boot" if more == 1 else "boots"
        return f"{found.verdict} ({sides} so far; {more} more {boots} would tell)"
    return f"{found.verdict} ({sides}; by chance as far apart in {found.chance or 0.0:.0%} of all orders)"


def _compared(found: Result) -> Iterator[str]:
    yield f"  before  {_spread(found.before)}"
    yield f"  after   {_spread(found.after)}"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "no recorded boot"
    boots = "boot" if spread.count == 1 else "boots"
    return f"{spread.median:.1f} s, median of {spread.count} recorded {boots} ({spread.least:.1f} to {spread.most:.1f})"
