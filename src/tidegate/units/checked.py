# SPDX-License-Identifier: Apache-2.0
"""The comparison of a boot with its order as a person reads it, and as a program does."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidegate.core.finding import Grade
from tidegate.units import report
from tidegate.units.compare import Check, Inversion
from tidegate.units.expected import CHAIN
from tidegate.units.lastboot import UnitTimes

_WORDS: Final = {
    Grade.OK: "every order was kept",
    Grade.DEGRADED: "orders were not kept",
    Grade.UNKNOWN: "it cannot be said whether every order was kept",
    Grade.FAILING: "orders that Incus's instances need were not kept",
}


def text(check: Check) -> str:
    """Return it for a person: the chain with its times, then each inversion with cause and remedy."""
    return report.clean("\n".join(_lines(check)) + "\n")


def document(check: Check) -> dict[str, Any]:
    """Return it for a program, made of what JSON has; times are seconds since the kernel started."""
    return {
        "grade": check.grade,
        "kept": check.kept,
        "absent": list(check.absent),
        "by_chance": [list(pair) for pair in check.by_chance],
        "starts": [{"unit": name, **msgspec.to_builtins(one)} for name, one in check.starts],
        "inversions": [msgspec.to_builtins(one) for one in check.inversions],
    }


def _lines(check: Check) -> Iterator[str]:
    told = {name for one in check.inversions for name in (one.first, one.then)}
    for name, one in check.starts:
        if name in CHAIN or name in told:
            yield f"  {_moment(one.begun):>10}  {name}{_end(one)}"
    for name in check.absent:
        yield f"  {'-':>10}  {name}: no start of it is known"
    yield ""
    yield f"{_WORDS[check.grade]} ({check.kept} were, {len(check.inversions)} were not)"
    for first, then in check.by_chance:
        text = (
            f"by chance: no unit file orders {then} after {first}; the next boot may go otherwise"
        )
        yield from report.wrapped(text, "  ", hang="    ")
    for inversion in check.inversions:
        yield from _inversion(inversion)


def _inversion(one: Inversion) -> Iterator[str]:
    found = one.finding
    yield from report.wrapped(f"{found.grade} {found.observed} ({found.code})", "  ", hang="    ")
    yield from report.wrapped(f"expected: {found.expected}, because {one.why}", "    ")
    yield from report.wrapped(f"→ {found.remedy}", "    ")


def _moment(at: float | None) -> str:
    return "-" if at is None else f"{at:.3f} s"


def _end(one: UnitTimes) -> str:
    if one.up is None and one.failed is not None:
        return f"  failed at {_moment(one.failed)} ({one.result})"
    if one.skipped:
        return "  skipped by a condition of its own"
    ready = f", ready at {_moment(one.ready)}" if one.ready is not None else ""
    return f"  up at {_moment(one.up)}{ready}"
