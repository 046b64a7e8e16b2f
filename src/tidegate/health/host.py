# SPDX-License-Identifier: Apache-2.0
"""This machine: what DRBD and Incus's LINSTOR driver need before anything can come up (facts/incus.md 2.3)."""

from collections.abc import Mapping
from typing import Final

from tidegate.core import ids
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Finding, Grade
from tidegate.core.snapshot import Fact, Liveness, Source
from tidegate.health import catalogue, network, orphans
from tidegate.health.opinion import Opinion
from tidegate.health.view import Belief, View
from tidegate.health.wants import Wants

DRBD_MAJOR_VERSION = 9
_IN_TREE: Final = "kernel/drivers/block/drbd/"
"""Where a kernel's own module lies; DRBD 9 is installed below ``updates`` or ``extra``."""
_JUMP_TOLD_FOR: Final = 86400.0
_OF_LAYER: Final[Mapping[str, tuple[str, ...]]] = {
    "DRBD": ("drbdadm", "drbdsetup"),
    "LUKS": ("cryptsetup",),
}
_OF_PROVIDER: Final[Mapping[str, tuple[str, ...]]] = {
    "LVM": ("lvm",),
    "LVM_THIN": ("lvm", "thin_check"),
    "ZFS": ("zfs",),
    "ZFS_THIN": ("zfs",),
    "FILE": ("losetup",),
    "FILE_THIN": ("losetup",),
}
TOOLS: Final = tuple(
    sorted({tool for tools in (*_OF_LAYER.values(), *_OF_PROVIDER.values()) for tool in tools})
)
"""All that may be needed."""


def judge(view: View, wants: Wants) -> Opinion:
    """Return the opinion on this host."""
    fact = view.snapshot.host
    findings = _wedged(view) + _lost_helpers(view)
    match view.belief(fact, Source.HOST):
        case Belief.FRESH:
            assert fact is not None
            findings += _module(view, wants, fact) + _program(view, wants, fact)
            findings += _tools(view, wants, fact) + _clock(view, fact)
        case Belief.OFF:
            pass
        case belief:
            findings.append(_not_known(view, belief, fact))
    findings += network.judge(view) + orphans.judge(view)
    return Opinion(subject=ids.HOST, findings=tuple(findings), good=_good(fact))


def needs_drbd(view: View, wants: Wants) -> bool | None:
    """Return whether a wanted resource has DRBD; None while nobody can say: then it is taken for granted."""
    places = [view.placed_here(resource) for resource in wants.wanted_resources]
    known = [place for place in places if place is not None]
    if any(place.has_drbd for place in known):
        return True
    return None if places and not known else False


def _module(view: View, wants: Wants, fact: Fact[HostFacts]) -> list[Finding]:
    version = fact.value.drbd_module
    needed = needs_drbd(view, wants)
    if needed is False and _is_missed(wants):
        needed = None  # of a pool that does not load Incus tells neither driver nor group
    if needed is False and not wants.linstor_pools:
        return []
    # Without DRBD among the layers only Incus's driver insists on the module: the pool says so itself.
    grade = Grade.DEGRADED if needed is False else None
    if version is None:
        return [_not_loaded(view, fact, grade)]
    if _major(version) >= DRBD_MAJOR_VERSION:
        return []
    text = f"module drbd is version {version}"
    return [_finding(view, fact, "host.drbd-module-old", text, grade=grade)]


def _is_missed(wants: Wants) -> bool:
    """Return True when Incus cannot load a pool for want of the module (facts/incus.md D53)."""
    pools = (wants.pools or {}).values()
    return any(pool.status is None and "DRBD" in (pool.error or "") for pool in pools)


def _not_loaded(view: View, fact: Fact[HostFacts], grade: Grade | None) -> Finding:
    """Say whether waiting can help: ``modprobe`` finds what depmod has listed for the running kernel, and nothing else."""
    file, lasts = fact.value.drbd_file, f"for {view.lasts(fact.since):.0f} s"
    if file == "":
        text = f"module drbd is not loaded {lasts}, and there is none for the running kernel"
        return _finding(view, fact, "host.drbd-module-not-installed", text, grade=grade)
    if file is not None and file.startswith(_IN_TREE):
        text = f"module drbd is not loaded {lasts}, and {file} is all there is"
        return _finding(view, fact, "host.drbd-module-in-tree", text, grade=grade)
    there = f"; it is installed ({file})" if file else ""
    return _finding(
        view,
        fact,
        "host.drbd-module-absent",
        f"module drbd is not loaded {lasts}{there}",
        waiting=view.now < view.policy.wait_grace,
        grade=grade,
    )


def _program(view: View, wants: Wants, fact: Fact[HostFacts]) -> list[Finding]:
    if fact.value.satellite_present or not (wants.linstor_pools or wants.wanted_resources):
        return []
    text = "the satellite's program is not there"
    return [_finding(view, fact, "host.satellite-missing", text)]


def needed_tools(view: View, wants: Wants) -> dict[str, str]:
    """Return the programs that wanted volumes need -> what for, from their layers and storage pools (facts/linstor.md 2.4)."""
    needed: dict[str, str] = {}
    places = [view.placed_here(resource) for resource in sorted(wants.wanted_resources)]
    for place in places:
        if place is None:
            continue
        for layer in place.layers:
            needed.update(dict.fromkeys(_OF_LAYER.get(layer, ()), f"layer {layer}"))
        pool = (view.storage_pools or {}).get(place.storage_pool or "")
        if pool is not None:
            kind = pool.provider
            needed.update(dict.fromkeys(_OF_PROVIDER.get(kind, ()), f"storage of kind {kind}"))
    return needed


def tools_of(provider: str) -> tuple[str, ...]:
    """Return the programs that a kind of storage needs."""
    return _OF_PROVIDER.get(provider, ())


def _tools(view: View, wants: Wants, fact: Fact[HostFacts]) -> list[Finding]:
    there = fact.value.tools
    if not there:
        return []
    return [
        _finding(
            view,
            fact,
            "host.tool-missing",
            f"{tool} is not installed; {what} needs it",
            tool=tool,
            node=view.node,
        )
        for tool, what in needed_tools(view, wants).items()
        if there.get(tool) is False
    ]


def _clock(view: View, fact: Fact[HostFacts]) -> list[Finding]:
    jump = fact.value.clock_jump
    if jump is None or view.lasts(jump.at) > _JUMP_TOLD_FOR:
        return []
    way = "forward" if jump.seconds > 0 else "back"
    text = f"the clock was set {abs(jump.seconds):.0f} s {way}, {jump.at:.0f} s after boot"
    return [_finding(view, fact, "host.clock-jumped", text, since=jump.at)]


def _wedged(view: View) -> list[Finding]:
    line = view.journal.assertion
    if line is None:
        return []
    fact = view.snapshot.journal
    return [
        catalogue.finding(
            "host.kernel-wedged",
            ids.HOST,
            f"the kernel says: {line}",
            source=Source.JOURNAL,
            age=view.age(fact),
            since=view.journal.assertion_at,
        )
    ]


def _finding(
    view: View,
    fact: Fact[HostFacts],
    code: str,
    observed: str,
    *,
    waiting: bool = False,
    grade: Grade | None = None,
    since: float | None = None,
    **context: str,
) -> Finding:
    return catalogue.finding(
        code,
        ids.HOST,
        observed,
        source=Source.HOST,
        age=view.age(fact),
        since=fact.since if since is None else since,
        waiting=waiting,
        grade=grade,
        context=context,
    )


def _lost_helpers(view: View) -> list[Finding]:
    """Sources about this host that do not answer: what they told is missing elsewhere, the host itself may be well."""
    findings = []
    for source in (Source.SYSTEMD, Source.DRBD, Source.DEVICES):
        state = view.snapshot.source(source)
        if state.liveness is not Liveness.LOST:
            continue
        why = state.trouble.text if state.trouble is not None else "no reason given"
        hint = state.trouble.hint if state.trouble is not None else ""
        findings.append(
            catalogue.finding(
                "source.lost",
                ids.HOST,
                f"{source} does not answer for {view.lasts(state.since):.0f} s: {why}",
                source=source,
                age=view.lasts(state.answered_at),
                since=state.since,
                context={"source": str(source), "hint": hint or why},
            )
        )
    return findings


def _not_known(view: View, belief: Belief, fact: Fact[HostFacts] | None) -> Finding:
    state = view.snapshot.source(Source.HOST)
    why = state.trouble.text if state.trouble is not None else "no reason given"
    code, observed = {
        Belief.STALE: ("source.stale", f"what is known of the host is {view.age(fact):.0f} s old"),
        Belief.LOST: ("source.lost", f"the host cannot be looked at: {why}"),
        Belief.STARTING: ("source.lost", f"the host cannot be looked at: {why}"),
    }.get(belief, ("source.new", "the host has not been looked at yet"))
    return catalogue.finding(
        code,
        ids.HOST,
        observed,
        source=Source.HOST,
        age=view.age(fact),
        waiting=code == "source.new",
        context={
            "source": "the host",
            "hint": why,
            "limit": f"{view.policy.stale_after:.0f}",
        },
    )


def _good(fact: Fact[HostFacts] | None) -> str:
    if fact is None or fact.value.drbd_module is None:
        return "nothing missing"
    return f"DRBD {fact.value.drbd_module}"


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0
