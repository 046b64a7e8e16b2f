# SPDX-License-Identifier: Apache-2.0
"""Which strategy fits a host, with the reasons; or why the one that was asked for cannot be had."""

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.config.policy import FailPolicy
from tidegate.core.trouble import Trouble
from tidegate.units import deadlock
from tidegate.units.deadlock import Hold, Place
from tidegate.units.host import LONGEST, HostView, Options, Strategy


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The strategy taken and why; or None, and why not, with what works instead."""

    strategy: Strategy | None
    reasons: tuple[str, ...] = ()
    refusals: tuple[Trouble, ...] = ()
    offers: tuple[str, ...] = ()
    """What works here instead: strategies that stand every proof of this room, then changes to the host."""


_GATE: Final = (
    "gate: Incus waits, for a limited time, until the storage of its instances is proven ready"
)
_GUARD: Final = "guard: Incus, its API and instances on other pools start at once; only what depends on the storage waits"
_ORDER: Final = "order: asked for; the satellite's first run must be over before Incus starts, for a limited time"


def choose(host: HostView, options: Options) -> Choice:
    """Return the strategy for ``host``. What was asked for is taken or refused, never replaced."""
    if not 0 < options.timeout <= LONGEST or math.isnan(options.timeout):
        return _refused(
            "bad-timeout", f"a limit of {options.timeout:g} s", f"give 1 to {LONGEST:g} s"
        )
    chosen = _asked(host, options)
    if chosen.strategy is not None:
        return chosen
    return msgspec.structs.replace(chosen, offers=tuple(_offers(host, options)))


def _asked(host: HostView, options: Options) -> Choice:
    match options.strategy:
        case None:
            return _by_itself(host, options)
        case Strategy.GATE:
            return _gate(host, options)
        case Strategy.GUARD:
            return _guard(host)
        case Strategy.ORDER:
            return _order(host, options)


def _offers(host: HostView, options: Options) -> Iterator[str]:
    """Yield what works on this host, the least change first."""
    anyhow = deadlock.loops(host.controller, Hold.NOTHING)
    for loop in anyhow:  # nothing that holds or lets go helps against these
        yield deadlock.way_out(host.controller, loop)
    if not anyhow:
        yield from _other_options(host, options)
    if host.controller.place in {Place.INSTANCE_HERE, Place.INSTANCE_ELSEWHERE}:
        name = host.controller.instance or "this instance"
        yield (
            f"a second LINSTOR controller outside of {name}, on another host, that takes over while this one boots (drbd-reactor); "
            "then `--controller other-host`"
        )
    keys = host.incus.volumes_on_linstor
    if keys:
        yield f"the volumes of {', '.join(keys)} on a local pool: Incus then starts without LINSTOR"
    if host.controller.place is Place.UNKNOWN:
        yield "say where the controller runs with `--controller`, should that be known"


def _other_options(host: HostView, options: Options) -> Iterator[str]:
    if options.policy is FailPolicy.CLOSED:
        opened = msgspec.structs.replace(options, policy=FailPolicy.OPEN)
        if _asked(host, opened).strategy is not None:
            yield "`--policy fail-open`: the same, and Incus goes when the limit is over"
    for strategy, what in _WORKS.items():
        if strategy is options.strategy:
            continue
        other = msgspec.structs.replace(options, strategy=strategy, policy=FailPolicy.OPEN)
        if _asked(host, other).strategy is not None:
            yield f"`--strategy {strategy}`: {what}"


_WORKS: Final = {
    Strategy.GUARD: "Incus, its API and all that is not on LINSTOR start at once, the instance with the controller among them",
    Strategy.GATE: "Incus waits for a limited time until the storage is proven ready; the satellite stays as it is shipped",
}
"""Strategies that may be offered: order is only ever asked for."""


def _by_itself(host: HostView, options: Options) -> Choice:
    if options.guard is not None:
        with_guard = _guard(host)
        if with_guard.strategy is not None:
            reasons = (*with_guard.reasons, "it is enabled here")
            return msgspec.structs.replace(with_guard, reasons=reasons)
    gate = _gate(host, options)
    if gate.strategy is not None:
        return gate
    guard = _guard(host)
    if guard.strategy is not None and _loop(host, options) is not None:
        why = tuple(f"not gate: {trouble.text}" for trouble in gate.refusals)
        return Choice(strategy=Strategy.GUARD, reasons=(*guard.reasons, *why))
    return Choice(strategy=None, refusals=(*gate.refusals, *guard.refusals))


def _gate(host: HostView, options: Options) -> Choice:
    refused = _held_by_itself(host, options, "gate")
    if refused is not None:
        return refused
    reasons = [_GATE]
    keys = host.incus.volumes_on_linstor
    if keys:
        reasons.append(
            f"Incus itself does not start without the volumes of {', '.join(keys)}: only a gate helps that"
        )
    if host.controller.place is Place.UNKNOWN:
        reasons.append(
            f"{_unknown(host)}: should it live in an instance here, the limit ends the wait"
        )
    if host.incus.other_pools_wanted:
        reasons.append(
            "instances on other pools wait as well; the guard does not hold them: --strategy guard"
        )
    return Choice(strategy=Strategy.GATE, reasons=tuple(reasons))


def _guard(host: HostView) -> Choice:
    keys = host.incus.volumes_on_linstor
    if keys:
        return _refused(
            "guard-is-fatal",
            f"with {', '.join(keys)} on a LINSTOR pool Incus itself does not start while that pool is unavailable",
            "take the gate, or move these volumes to a local pool",
        )
    return Choice(strategy=Strategy.GUARD, reasons=(_GUARD,))


def _order(host: HostView, options: Options) -> Choice:
    controller = host.controller
    loop = _loop(host, options)
    if loop is not None:
        return _looped("order", loop)
    in_instance = controller.place in {Place.INSTANCE_HERE, Place.UNKNOWN}
    if in_instance or controller.database_on_drbd:
        what = {
            Place.INSTANCE_HERE: "the controller lives in an instance of this Incus",
            Place.UNKNOWN: _unknown(host),
        }.get(controller.place, "the controller's database lies on DRBD of this host")
        return _refused(
            "order-unproven",
            f"{what}: that the satellite ever becomes ready before Incus starts cannot be proven",
            "take the gate or the guard",
        )
    return Choice(
        strategy=Strategy.ORDER,
        reasons=(
            _ORDER,
            "without a controller the satellite stays activating, and multi-user.target is not reached until one comes",
            "at a shutdown the satellite may go before Incus: an order for that would make Incus wait for a controller for ever",
        ),
    )


def _held_by_itself(host: HostView, options: Options, strategy: str) -> Choice | None:
    """Return a refusal when holding Incus holds what it waits for, or may and would never end."""
    loop = _loop(host, options)
    if loop is not None:
        return _looped(strategy, loop)
    if options.policy is FailPolicy.OPEN:
        return None
    for anyhow in deadlock.loops(host.controller, Hold.NOTHING):
        return _refused(
            "closed-for-ever", f"fail-closed would never end: {anyhow}", "take fail-open"
        )
    if host.controller.place is Place.UNKNOWN:
        return _refused(
            "closed-unproven",
            f"{_unknown(host)}: in an instance here, fail-closed would hold it for ever",
            "say where it runs with --controller, or take fail-open",
        )
    return None


def _unknown(host: HostView) -> str:
    because = f" ({host.controller.because})" if host.controller.because else ""
    return f"it is not known where the controller runs{because}"


def _loop(host: HostView, options: Options) -> deadlock.Loop | None:
    limit = math.inf if options.policy is FailPolicy.CLOSED else options.timeout
    return deadlock.held_by_itself(host.controller, Hold.GATE, limit=limit)


def _looped(strategy: str, loop: deadlock.Loop) -> Choice:
    return _refused(
        "deadlock",
        f"with the {strategy} {loop}",
        "take the guard (--strategy guard), which does not hold Incus; or run a controller outside of this host's instances",
    )


def _refused(slug: str, text: str, hint: str) -> Choice:
    return Choice(strategy=None, refusals=(Trouble(code=f"units.{slug}", text=text, hint=hint),))
