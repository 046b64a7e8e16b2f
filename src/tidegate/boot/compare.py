# SPDX-License-Identifier: Apache-2.0
"""Two boots of a machine side by side."""

from typing import Final

from tidegate.boot.case import secs
from tidegate.boot.model import BootAnalysis, Cause, Change, Comparison, Outcome, Shape

_TOLD: Final = 1.0
"""Seconds of difference that are worth a word."""
_MAX_SHAPES: Final = 50
_DEVICE: Final = "device."


def figures(boot: BootAnalysis) -> dict[str, tuple[str, float]]:
    """Return the times of a boot that can be compared: name → (title, seconds)."""
    found: dict[str, tuple[str, float]] = {}
    for phase in boot.phases:
        if phase.seconds is not None and phase.lane != "instances":
            found.setdefault(f"phase.{phase.name}", (phase.title, phase.seconds))
    for row in boot.order:
        if row.active is not None:
            found[f"unit.{row.unit}"] = (f"{row.unit} active", row.active)
    for pool in boot.pools:
        if pool.ready is not None:
            found[f"pool.{pool.name}"] = (f"pool {pool.name} mounted", pool.ready)
    for story in boot.instances:
        if story.started is not None:
            found[f"instance.{story.project}/{story.name}"] = (f"{story.name} runs", story.started)
    found |= _devices(boot)
    if boot.path.subject:
        found["last"] = ("the last one is there", boot.path.end)
    return found


def _devices(boot: BootAnalysis) -> dict[str, tuple[str, float]]:
    """Return when DRBD's devices were usable, each and beside the node's ONLINE: in between Incus burns its attempts."""
    phases = {phase.name: phase for phase in boot.phases}
    up, sync = phases.get("devices"), phases.get("satellite.full-sync")
    found: dict[str, tuple[str, float]] = {}
    if sync is not None and sync.end is not None:
        found["online"] = ("node ONLINE", sync.end)
    if up is not None and up.end is not None:
        found["devices.first"] = ("first device usable", up.events[0].at if up.events else up.begin)
        found["devices.last"] = ("last device usable", up.end)
        if "online" in found:
            gap = max(0.0, up.end - found["online"][1])
            found["devices.gap"] = ("from ONLINE to the last device", gap)
        for event in up.events:
            device = event.data.get("device") or event.subject.partition("/")[2]
            found[f"{_DEVICE}{event.subject}"] = (f"{device} usable", event.at)
    return found


def compare(before: BootAnalysis, after: BootAnalysis) -> Comparison:
    """Return what differs between two boots; ``before`` is the one that is judged by."""
    then, now = figures(before), figures(after)
    changes = tuple(
        Change(
            name=name,
            title=(then.get(name) or now[name])[0],
            before=then[name][1] if name in then else None,
            after=now[name][1] if name in now else None,
        )
        for name in dict.fromkeys((*then, *now))
    )
    new = _without(after, before)
    gone = _without(before, after)
    return Comparison(
        before=before.boot,
        after=after.boot,
        sentence=_sentence(before, after, changes, new, gone),
        changes=changes,
        new_causes=new,
        gone_causes=gone,
        new_shapes=_new_shapes(after, before),
        gone_shapes=_new_shapes(before, after),
    )


def _without(boot: BootAnalysis, other: BootAnalysis) -> tuple[Cause, ...]:
    known = {cause.key for cause in other.causes}
    return tuple(cause for cause in boot.causes if cause.key not in known)


def _new_shapes(boot: BootAnalysis, other: BootAnalysis) -> tuple[Shape, ...]:
    known = {(shape.who, shape.shape) for shape in other.shapes}
    fresh = [shape for shape in boot.shapes if (shape.who, shape.shape) not in known]
    return tuple(fresh[:_MAX_SHAPES])


def _sentence(
    before: BootAnalysis,
    after: BootAnalysis,
    changes: tuple[Change, ...],
    new: tuple[Cause, ...],
    gone: tuple[Cause, ...],
) -> str:
    said = []
    lost_before = sum(story.outcome is Outcome.LOST for story in before.instances)
    lost_after = sum(story.outcome is Outcome.LOST for story in after.instances)
    last = next((change for change in changes if change.name == "last"), None)
    # With other instances lost "the last one" is another one.
    if last is not None and last.delta is not None and lost_before == lost_after:
        if abs(last.delta) < _TOLD:
            said.append("as fast as before")
        else:
            said.append(
                f"{secs(abs(last.delta))} {'later' if last.delta > 0 else 'earlier'} until the last one was there"
            )
    if lost_before != lost_after:
        said.append(
            f"{lost_after} instance{'s' if lost_after != 1 else ''} lost instead of {lost_before}"
        )
    if devices := _usable(changes):
        said.append(devices)
    firsts = [cause.code for cause in new if cause.first]
    if firsts:
        said.append(f"new: {', '.join(dict.fromkeys(firsts))}")
    over = [cause.code for cause in gone if cause.first]
    if over:
        said.append(f"no more: {', '.join(dict.fromkeys(over))}")
    text = "; ".join(said) or "no difference that can be told"
    return f"{text[:1].upper()}{text[1:]}."


def _usable(changes: tuple[Change, ...]) -> str:
    """Say how much earlier or later the devices were usable that came up in both boots; "" when it is not worth a word."""
    found = [c.delta for c in changes if c.name.startswith(_DEVICE) and c.delta is not None]
    if not found or min(map(abs, found)) < _TOLD or min(found) < 0 < max(found):
        return ""
    least, most = sorted((abs(min(found)), abs(max(found))))
    way = "earlier" if found[0] < 0 else "later"
    times = secs(most) if secs(least) == secs(most) else f"{secs(least)} to {secs(most)}"
    return f"devices usable {times} {way}"
