# SPDX-License-Identifier: Apache-2.0
"""From a host to a plan: the strategy and its reasons, every file that changes, what is wrong today, and the proof that it is safe.

:func:`make` is the door. Nothing is proposed that was not proven first on the host's own units with the new drop-ins in place:
no circle that was not there before, no unit that systemd would refuse, Incus really behind its gate.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tidegate.core.finding import Finding
from tidegate.core.ids import AGENT_UNIT
from tidegate.core.trouble import Trouble
from tidegate.units import choice, cycles, dropins, names, packaging, render, show, traps
from tidegate.units.deadlock import Controller
from tidegate.units.host import (
    DEVICES_UNIT,
    GUARD_SOCKET,
    GUARD_UNIT,
    READY_UNIT,
    Addition,
    HostView,
    Known,
    Options,
    Strategy,
)
from tidegate.units.packaging import INCUS_STARTUP, INCUS_UNIT, SATELLITE_UNIT, Packaging, Refusal
from tidegate.units.tree import File, Index, Link, Load, Tree

_PACKAGED: Final = "/usr/lib/systemd/system"
_TOPIC: Final = re.compile(r"[a-z]+(-[a-z]+)*")
_TAKEN: Final = frozenset({"satellite", "gate", "limit", "startup", "guard", "stop"})
"""Topics of our own drop-ins."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A drop-in of ours that is written (``before`` None: new), or taken away (``after`` None)."""

    path: str
    before: str | None
    after: str | None

    @property
    def difference(self) -> str:
        """The change as a unified difference."""
        return render.difference(self.path, self.before, self.after)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done to a host. With ``refusals`` nothing is: ``strategy`` is then None, ``changes`` empty."""

    packaging: Packaging | None = None
    strategy: Strategy | None = None
    reasons: tuple[str, ...] = ()
    drop_ins: Mapping[str, str] = {}
    """Every drop-in of ours as it shall be: path to text."""
    changes: tuple[Change, ...] = ()
    """What of them differs from what is there now; empty when all is as it shall be."""
    enable: Mapping[str, str] = {}
    """Links that enable our own units and are not there yet: path to target."""
    disable: Mapping[str, str] = {}
    """Links that we made for another plan and that this one does not want: path to target."""
    links: Mapping[str, str] = {}
    """All links that this plan wants, there or not: path to target."""
    today: tuple[Finding, ...] = ()
    """What is wrong without us."""
    left: tuple[Finding, ...] = ()
    """What the plan does not cure."""
    refusals: tuple[Trouble, ...] = ()
    offers: tuple[str, ...] = ()
    """With refusals: what works here instead."""
    controller: Controller = Controller()
    """Where it takes the controller to be."""
    known: Known = Known()
    """What it rests on besides unit files; kept with what is applied."""

    @property
    def cured(self) -> tuple[Finding, ...]:
        """What is wrong without us and right with the plan."""
        still = {(finding.code, finding.subject) for finding in self.left}
        return tuple(found for found in self.today if (found.code, found.subject) not in still)


def make(host: HostView, options: Options) -> Plan:
    """Return the plan for ``host``; never raises for what a host may look like."""
    found = _made(host, options)
    return msgspec.structs.replace(found, known=host.known, controller=host.controller)


def _made(host: HostView, options: Options) -> Plan:
    bare = without_ours(host.tree)
    index = Index(bare)
    unfit = tuple(_unfit(options))
    if unfit:
        return Plan(refusals=unfit)
    if not options.order:
        return _without_order(host, bare, options)
    found = packaging.recognise(index)
    if isinstance(found, Refusal):
        return Plan(refusals=(found.trouble,))
    today = traps.find(host, index)
    chosen = choice.choose(host, options)
    if chosen.strategy is None:
        return Plan(packaging=found, today=today, refusals=chosen.refusals, offers=chosen.offers)
    own = _own_names(chosen.strategy, options)
    missing = _missing(host, index, own)
    if missing:
        return Plan(packaging=found, today=today, refusals=missing)
    scene = traps.Scene(host, index)
    pull = traps.nothing_pulls(scene)
    unwaited = SATELLITE_UNIT not in scene.waits
    wanted = dropins.drop_ins(
        host, index, found, chosen.strategy, options, pull=pull, unwaited=unwaited
    )
    reasons = list(chosen.reasons)
    if chosen.strategy is Strategy.GUARD and options.guard is None:
        reasons.append(_unasked(host, index, wanted))
    reasons += _remarks(host, wanted, pull=pull)
    plan = Plan(
        packaging=found,
        strategy=chosen.strategy,
        reasons=tuple(reasons),
        drop_ins=dict(sorted(wanted.items())),
        today=today,
    )
    return _proven(host, bare, plan, own)


def _without_order(host: HostView, bare: Tree, options: Options) -> Plan:
    own = _asked_for(options)
    missing = _missing(host, Index(bare), own)
    if missing:
        return Plan(refusals=missing)
    return _proven(host, bare, Plan(drop_ins=dict(sorted(dropins.asked_for(options).items()))), own)


def _unasked(host: HostView, index: Index, wanted: dict[str, str]) -> str:
    """Take out what has no use yet when nobody has enabled the guard; return what is to be said of it."""
    if _has(host, index, GUARD_SOCKET):
        return "Incus does not ask the guard yet: `tidegate guard enable`"
    wanted.pop(render.path(INCUS_UNIT, "guard"))
    return "the guard is not installed: the agent alone brings pools and instances back"


def without_ours(tree: Tree) -> Tree:
    """Return the tree without any drop-in of ours."""
    kept = {path: entry for path, entry in tree.entries.items() if not render.is_ours(path)}
    return msgspec.structs.replace(tree, entries=kept)


def trees(host: HostView, plan: Plan) -> tuple[Tree, Tree]:
    """Return the host's units without any drop-in of ours, and with all that ``plan`` wants; our own units are in both."""
    bare = without_ours(host.tree)
    before = bare.with_files(_own_units(host, Index(bare)))
    entries = {path: one for path, one in before.entries.items() if path not in host.own_links}
    entries.update({path: Link(to) for path, to in plan.links.items()})
    entries.update({path: File(text) for path, text in plan.drop_ins.items()})
    return before, msgspec.structs.replace(before, entries=entries)


def refused(plan: Plan, refusals: tuple[Trouble, ...]) -> Plan:
    """Return what is left of ``plan`` when it is refused: what was found, and nothing to do."""
    return Plan(
        packaging=plan.packaging,
        today=plan.today,
        left=plan.left,
        refusals=refusals,
        controller=plan.controller,
        known=plan.known,
    )


def removal(tree: Tree) -> tuple[Change, ...]:
    """Return what takes every drop-in of ours away."""
    return tuple(
        Change(path=path, before=text, after=None) for path, text in sorted(_ours(tree).items())
    )


def _ours(tree: Tree) -> dict[str, str]:
    return {
        path: entry.text
        for path, entry in tree.entries.items()
        if render.is_ours(path) and isinstance(entry, File)
    }


def _has(host: HostView, index: Index, name: str) -> bool:
    load = index.unit(name).load
    return load is Load.LOADED or (load is Load.NOT_FOUND and name in host.own_units)


def _own_names(strategy: Strategy, options: Options) -> tuple[str, ...]:
    """Return which of our units have to be there and enabled.

    The gate's unit is not among them with the guard: nothing waits for it then, so it would cost a process of every boot and keep
    the system ``starting`` for minutes, to write down what the agent writes down anyhow (docs/architecture.md).
    """
    found: list[str] = [AGENT_UNIT]
    if strategy is not Strategy.GUARD:
        found.append(READY_UNIT)
    return (*found, *_asked_for(options))


def _asked_for(options: Options) -> tuple[str, ...]:
    """Return which of our units somebody has enabled whatever the order of the boot is."""
    guard = (GUARD_SOCKET, GUARD_UNIT) if options.guard is not None else ()
    return (*guard, *((DEVICES_UNIT,) if options.devices else ()))


def _missing(host: HostView, index: Index, needed: Iterable[str]) -> tuple[Trouble, ...]:
    """The gate's unit must be there before Incus is told to wait for it: a hold by nothing would be no hold."""
    return tuple(_absent(name, index) for name in needed if not _has(host, index, name))


def _absent(name: str, index: Index) -> Trouble:
    if index.unit(name).load is Load.MASKED:
        return Trouble(
            code="units.masked",
            text=f"the unit {name} is masked",
            hint=f"`systemctl unmask {name}`",
        )
    return Trouble(
        code="units.not-installed",
        text=f"the unit {name} is not installed",
        hint="install Tidegate's units first: see README, Install",
    )


def _unfit(options: Options) -> Iterator[Trouble]:
    """What another room asked for must stay within its own lines."""
    access = options.guard
    words = (*access.controllers, access.secret_file) if access is not None else ()
    for word in words:
        if any(not one.isprintable() or one in " \"'\\," for one in word):
            yield _unwritable(f"the controller or file {word!r}")
    for one in options.additions:
        if not _is_writable(one):
            yield _unwritable(f"the drop-in {one.topic!r} for {one.unit!r}")


def _is_writable(addition: Addition) -> bool:
    lines = [line for section in addition.sections.values() for line in section]
    return (
        bool(names.kind(addition.unit))
        and _TOPIC.fullmatch(addition.topic) is not None
        and addition.topic not in _TAKEN
        and all(line.isprintable() and not line.startswith("[") for line in lines)
        and all(section.isalnum() for section in addition.sections)
    )


def _unwritable(what: str) -> Trouble:
    return Trouble(
        code="units.unwritable",
        text=f"{what} cannot be written into a unit file",
        hint="this is a fault of Tidegate's own, or a value in its configuration with blanks or quotes in it",
    )


def _remarks(host: HostView, wanted: Mapping[str, str], *, pull: bool) -> Iterator[str]:
    pools = [pool.name for pool in host.storage_pools or () if pool.places]
    if pools:
        yield (
            f"the satellite waits for the mounts below {', '.join(sorted(pools))}: one that fails holds it, "
            "and with it every pool"
        )
    if host.remembered:
        yield f"not to be asked now, so taken as last known: {'; '.join(host.remembered)}"
    if host.incus.clustered:
        yield "this orders this member of the cluster alone: apply it on every member"
    if host.storage_pools is None:
        yield "LINSTOR's storage pools are not known: no mount below a file-based pool is required"
    if render.path(READY_UNIT, "limit") in wanted and pull:
        yield (
            "the boot itself starts Incus: its own check misses instances after a power loss; "
            "multi-user.target is reached when its first pass is over"
        )
    elif pull:
        yield "after a power loss the agent starts Incus: its own check misses instances then"


def _proven(host: HostView, bare: Tree, plan: Plan, wanted: Iterable[str]) -> Plan:
    """Return the plan with its changes when it stands the proof, with refusals when not; ``wanted``: those of our units to enable."""
    own = _own_units(host, Index(bare))
    links = _links(wanted, Index(bare.with_files(own)))
    whole = bare.with_files({**own, **plan.drop_ins})
    stale = {path: to for path, to in host.own_links.items() if path not in links}
    entries = {path: entry for path, entry in whole.entries.items() if path not in stale}
    entries.update({path: Link(to) for path, to in links.items()})
    whole = msgspec.structs.replace(whole, entries=entries)
    before = traps.Scene(host, Index(bare))
    after = traps.Scene(host, Index(whole))
    refusals = tuple(_objections(before, after, plan))
    left = traps.find(host, after.index)
    if refusals:
        return refused(msgspec.structs.replace(plan, left=left), refusals)
    return msgspec.structs.replace(
        plan,
        left=left,
        changes=tuple(_changes(_ours(host.tree), plan.drop_ins)),
        enable={path: to for path, to in links.items() if path not in host.tree.entries},
        disable={path: to for path, to in stale.items() if path in host.tree.entries},
        links=links,
    )


def _changes(now: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[Change]:
    for path in sorted(now.keys() | wanted.keys()):
        if now.get(path) != wanted.get(path):
            yield Change(path=path, before=now.get(path), after=wanted.get(path))


def _own_units(host: HostView, index: Index) -> dict[str, str]:
    """Return our own units that are yet to be installed, at the place where packages put theirs."""
    return {
        f"{_PACKAGED}/{name}": text
        for name, text in host.own_units.items()
        if index.unit(name).load is Load.NOT_FOUND
    }


def _links(wanted: Iterable[str], index: Index) -> dict[str, str]:
    """Return the links that enable our units ``wanted``, from their ``[Install]`` sections: path to target."""
    links: dict[str, str] = {}
    for name in sorted(wanted):
        unit = index.unit(name)
        if unit.load is not Load.LOADED or unit.path is None:
            continue
        for key, suffix in (("WantedBy", "wants"), ("RequiredBy", "requires")):
            for target, _ in unit.listed("Install", key):
                links[f"{render.FOLDER}/{target}.{suffix}/{name}"] = unit.path
    return links


def _objections(before: traps.Scene, after: traps.Scene, plan: Plan) -> Iterator[Trouble]:
    known = {cycle.units for cycle in before.circles()}
    touched = {posixpath.basename(path.rpartition("/")[0])[:-2] for path in plan.drop_ins}
    for cycle in after.circles():
        if cycle.units not in known or touched & set(cycle.knot):
            yield _circle(cycle)
    for name in (INCUS_UNIT, INCUS_STARTUP, SATELLITE_UNIT, READY_UNIT, AGENT_UNIT):
        unit = after.index.unit(name)
        if unit.load is Load.BAD:
            yield Trouble(
                code="units.bad",
                text=f"systemd would refuse {name}: {unit.complaint}",
                hint=f"`systemd-analyze verify {name}`, and repair the file it names",
            )
    recipe = traps.deadlocked(after)
    if recipe is not None:
        loop, remove = recipe
        text = f"whatever is written, {loop}"
        yield Trouble(code="units.deadlock", text=text, hint=f"{remove}; then plan again")
    gated = plan.strategy in {Strategy.GATE, Strategy.ORDER}
    if gated and READY_UNIT not in after.waits:
        yield Trouble(
            code="units.not-held",
            text=f"{INCUS_UNIT} would not wait for {READY_UNIT}",
            hint=f"look for drop-ins that come after ours: `systemctl cat {INCUS_UNIT}`",
        )


def _circle(cycle: cycles.Cycle) -> Trouble:
    return Trouble(
        code="units.cycle",
        text=show.circle(cycle),
        hint="take one of these orders away first: each is named with the file and line it stands in",
    )
