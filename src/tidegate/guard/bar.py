# SPDX-License-Identifier: Apache-2.0
"""The bar in front of a pool's mount: when the controller's "ONLINE" is not passed on (contract.md safety 3 and 4). Pure.

Incus asks "is my satellite ONLINE?" once per pool and never again while it is mounted (facts/incus.md L51). The bar answers "not
yet" while that is the truth about this node: then Incus skips the pool's instances at no cost (A7), and recovery brings them back.

It is up at most once per boot: it goes for good when all was seen ready, when recovery wanted a pool mounted, when an instance runs
(a mount refused then would take a pool away from under it: D64), or when its time is over. Its time is counted from the first answer
that it changed: before that it cost nobody anything, and on a slow node ONLINE comes minutes after Incus's first question.
"""

import enum
from typing import Final

import msgspec

from tidegate.core.ids import BootId

LONGEST: Final = 120.0
"""Seconds for which it may be up (contract.md safety 4)."""


class Over(enum.StrEnum):
    """Why it is gone for this boot."""

    READY = "ready"
    LEASE = "lease"
    RUNNING = "running"
    TIME = "time"


class Why(enum.StrEnum):
    """Why the controller's own answer passes, or does not."""

    NOT_READY = "not-ready"
    """The one reason to change it."""
    READY = "ready"
    LEASE = "lease"
    RUNNING = "running"
    BAR_OVER = "bar-over"
    EXEMPT = "exempt"
    NO_RECOVERY = "no-recovery"
    NO_AGENT = "no-agent"
    NOT_ONLINE = "not-online"
    """The controller itself says so."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """How the bar of one boot stands."""

    boot_id: BootId
    since: float | None = None
    """When it first changed an answer (seconds since boot)."""
    over: Over | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of this node when a pool is to be mounted."""

    ready: bool
    """Everything that this node's autostart needs is proven ready."""
    sentence: str = ""
    """What is not, as a person reads it."""
    acts: bool
    """Recovery will mount the pool again by itself; without it, an Incus turned away would come back only after its minute."""
    lease: bool = False
    """Recovery wants the pool mounted now."""
    runs: str = ""
    """An instance on LINSTOR that runs on this node; "" when none does."""
    exempt: str = ""
    """Why an unavailable pool would kill incusd on this host, or why that cannot be excluded; "" when it can (D19)."""


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the controller's answer ONLINE."""

    changed: bool
    """It is passed on with a connection status that Incus takes as not ready."""
    why: Why
    text: str = ""


def rule(bar: Bar, standing: Standing, now: float, limit: float = LONGEST) -> tuple[Bar, Ruling]:
    """Return what becomes of a mount that is asked for at ``now`` (seconds since boot), and how the bar stands after it.

    ``limit``: seconds for which the bar may be up, at most :data:`LONGEST`.
    """
    if standing.exempt:
        return bar, _pass(Why.EXEMPT, standing.exempt)
    if bar.over is not None:
        return bar, _pass(Why.BAR_OVER, f"the bar of this boot is over ({bar.over})")
    if standing.runs:
        return _over(bar, Over.RUNNING), _pass(Why.RUNNING, f"{standing.runs} runs")
    if standing.lease:
        return _over(bar, Over.LEASE), _pass(Why.LEASE, "recovery has the pool mounted")
    if standing.ready:
        return _over(bar, Over.READY), _pass(Why.READY, standing.sentence)
    if not standing.acts:
        return bar, _pass(Why.NO_RECOVERY, "the agent only observes, nobody would mount it again")
    if is_spent(bar.since, now, limit):
        return _over(bar, Over.TIME), _pass(
            Why.BAR_OVER, f"the bar was up for {now - (bar.since or now):.0f} s"
        )
    since = now if bar.since is None else bar.since
    return msgspec.structs.replace(bar, since=since), Ruling(
        changed=True, why=Why.NOT_READY, text=standing.sentence
    )


def noticed(bar: Bar, *, runs: str) -> Bar:
    """Return the bar after it was seen which instance on LINSTOR runs ("" for none): once one does, it is over."""
    return _over(bar, Over.RUNNING) if runs and bar.over is None else bar


def resumed(kept: Bar | None, boot_id: BootId) -> Bar:
    """Return the bar to go on with: ``kept``, if it is of this boot."""
    return kept if kept is not None and kept.boot_id == boot_id else Bar(boot_id=boot_id)


def is_spent(since: float | None, now: float, limit: float = LONGEST) -> bool:
    """Return True when a bar that is up ``since`` then (seconds since boot) must go, whoever says otherwise."""
    return since is not None and (now - since >= min(limit, LONGEST) or now < since)


def _over(bar: Bar, over: Over) -> Bar:
    return msgspec.structs.replace(bar, over=over)


def _pass(why: Why, text: str) -> Ruling:
    return Ruling(changed=False, why=why, text=text)
