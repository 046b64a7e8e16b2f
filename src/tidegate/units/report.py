# SPDX-License-Identifier: Apache-2.0
"""A plan as a person reads it, and as a program does."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from tidegate.core.finding import Finding
from tidegate.core.trouble import Trouble
from tidegate.units import render
from tidegate.units.plan import Plan

_WIDTH: Final = 100


def is_pending(plan: Plan) -> bool:
    """Return whether carrying ``plan`` out would change anything."""
    return bool(plan.changes or plan.enable or plan.disable)


def text(plan: Plan) -> str:
    """Return the plan for a person: what was recognised and chosen and why, what is wrong, every file as a difference."""
    return clean("\n".join(_lines(plan)).lstrip("\n") + "\n")


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan for a program, made of what JSON has."""
    found: dict[str, Any] = msgspec.to_builtins(plan)
    found["pending"] = is_pending(plan)
    for row, change in zip(found["changes"], plan.changes, strict=True):
        row["difference"] = change.difference
    found["cured"] = msgspec.to_builtins(plan.cured)
    return found


def clean(lines: str) -> str:
    """Return ``lines`` without what would move a terminal's cursor: texts of unit files may hold anything."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in lines
    )


def trouble(found: Trouble) -> Iterator[str]:
    """Yield the lines that tell of ``found``."""
    yield from wrapped(f"{found.text} ({found.code})", "  ")
    if found.hint:
        yield from wrapped(f"→ {found.hint}", "    ")


def _lines(plan: Plan) -> Iterator[str]:
    if plan.packaging is not None:
        of = plan.packaging
        yield f"Incus as packaged by {of.incus}, satellite: {of.satellite}, LXCFS: {of.lxcfs or 'none'}"
        yield from wrapped("; ".join(_rests_on(plan)), "", hang="  ")
    if plan.strategy is not None:
        yield f"strategy: {plan.strategy}"
        for reason in plan.reasons:
            yield from wrapped(f"- {reason}", "  ")
    left = {(found.code, found.subject) for found in plan.left}
    cured = [found for found in plan.today if (found.code, found.subject) not in left]
    if plan.strategy is None:
        yield from _findings("wrong today:", plan.today)
    else:
        yield from _findings("wrong today, and cured by this plan:", cured)
        yield from _findings("not cured by this plan:", plan.left)
    if plan.refusals:
        yield from ("", "refused; nothing is written:")
        for found in plan.refusals:
            yield from trouble(found)
        if plan.offers:
            yield from ("", "what works here:")
        for offer in plan.offers:
            yield from wrapped(f"- {offer}", "  ")
        return
    yield from _changes(plan)


def _rests_on(plan: Plan) -> Iterator[str]:
    """Tell what the plan rests on besides unit files."""
    where, known = plan.controller, plan.known
    instance = f" ({where.instance})" if where.instance else ""
    drbd = ", its database on DRBD here" if where.database_on_drbd else ""
    yield f"LINSTOR controller: {where.place}{instance}{drbd}"
    pools = [
        f"{pool.name} {pool.provider}{f' ({pool.directory})' if pool.directory else ''}"
        for pool in known.storage_pools or ()
    ]
    none = "none" if known.storage_pools is not None else "not known"
    yield f"storage pools: {', '.join(pools) or none}"
    words = {None: "not known", True: "member of a cluster", False: "standalone"}
    yield f"Incus: {words[known.incus.clustered]}"


def _changes(plan: Plan) -> Iterator[str]:
    yield ""
    if not is_pending(plan):
        yield "nothing to do: everything is as planned"
        return
    for change in plan.changes:
        yield change.difference.rstrip("\n")
    for path, target in sorted(plan.enable.items()):
        yield from render.difference(path, None, f"link to {target}\n").splitlines()
    for path, target in sorted(plan.disable.items()):
        yield from render.difference(path, f"link to {target}\n", None).splitlines()
    count = len(plan.changes) + len(plan.enable) + len(plan.disable)
    yield from ("", f"{count} changes; `tidegate units apply` with the same options makes them")


def _findings(title: str, findings: Iterable[Finding]) -> Iterator[str]:
    told = tuple(findings)
    if told:
        yield from ("", title)
    for found in told:
        yield from wrapped(
            f"{found.grade} {found.subject}: {found.observed} ({found.code})", "  ", hang="    "
        )
        yield from wrapped(f"→ {found.remedy}", "    ")


def wrapped(line: str, margin: str, *, hang: str | None = None) -> Iterator[str]:
    """Yield ``line`` broken to the width of a screen; ``hang`` stands before all but the first."""
    for part in line.splitlines() or [""]:
        yield from textwrap.wrap(
            part,
            _WIDTH,
            initial_indent=margin,
            subsequent_indent=margin + "  " if hang is None else hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
