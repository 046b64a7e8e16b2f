# SPDX-License-Identifier: Apache-2.0
"""What the guard is told, from what is known of this node. Pure: snapshot, report and what was kept in; words for the guard out."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.core import ids
from tidegate.core.facts import DefinitionFacts, DeviceFacts, IncusFacts, IncusPhase, OpenResult
from tidegate.core.finding import Finding, Grade, Report
from tidegate.core.ids import BootId, ResourceName, SubjectKind, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.gate import decide
from tidegate.guard import asking, bar
from tidegate.guard.bar import Bar, Standing
from tidegate.guard.volumes import Held
from tidegate.health.wants import LINSTOR_DRIVER

DAEMON_VOLUMES: Final = ("storage.images_volume", "storage.backups_volume", "storage.logs_volume")
"""Keys of volumes that incusd mounts before it serves: fatal while they are away (facts/incus.md D19)."""
FORMAT: Final = 1
_SPEAKS: Final = frozenset({IncusPhase.AUTOSTART, IncusPhase.READY})
_LOOKS: Final = (Source.LINSTOR, Source.DRBD, Source.DEVICES)
_UNLOOKED: Final = frozenset({"source.new", "volume.not-known", "device.not-looked"})
_PATH_MISSING: Final = "volume.path-missing"
_CANNOT_TELL: Final = frozenset({"EACCES", "EPERM", "EBUSY"})
"""Errors of an open that say nothing about whether Incus could use the device."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What was learnt at the last good moment and must be known before Incus and the controller can be asked."""

    format: int = FORMAT
    binary: str = ""
    """incusd's program as it was: path, size and time of its last change. Another one may have a storage patch pending (D19)."""
    boot_id: str = ""
    pid: int | None = None
    """Of the daemon that was seen ready with it: while it runs, a program that was put in its place has not run yet."""
    daemon_volumes: tuple[str, ...] = ()
    """Of :data:`DAEMON_VOLUMES`, those that name a volume on a LINSTOR pool."""
    version: str = ""
    rest_api_version: str = ""
    definitions: tuple[asking.Definition, ...] = ()


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known for as long as the boot lasts, also by an agent that was killed meanwhile."""

    bar: Bar
    running: Mapping[str, str] = {}
    """Resource -> the instance that runs on it, as Incus last said."""

    @classmethod
    def fresh(cls, boot_id: BootId) -> "Memory":
        """Return the memory of a boot that has just begun."""
        return cls(bar=Bar(boot_id=boot_id))


# --- what is kept -----------------------------------------------------------------------------


def draw(snapshot: Snapshot, before: Kept | None, binary: str) -> Kept | None:
    """Return what to keep from now on; None when this is no good moment to say.

    Good is: incusd has finished its start, so that with this program no patch is pending, and says itself what it needs.
    """
    incus, pools = snapshot.incus, snapshot.pools
    if incus is None or pools is None or snapshot.source(Source.INCUS).liveness is not Liveness.UP:
        return None
    if incus.value.phase is not IncusPhase.READY or incus.value.version is None:
        return None
    kept = before or Kept()
    told = snapshot.controller.value if snapshot.controller is not None else None
    fresh = _definitions(snapshot)
    same = kept.boot_id == snapshot.boot_id and kept.pid == incus.value.pid
    return Kept(
        binary=kept.binary if same and kept.binary else binary,
        boot_id=snapshot.boot_id,
        pid=incus.value.pid,
        daemon_volumes=daemon_volumes(incus.value, snapshot),
        version=told.version if told is not None else kept.version,
        rest_api_version=told.rest_api_version if told is not None else kept.rest_api_version,
        definitions=kept.definitions if fresh is None else fresh,
    )


def essence(snapshot: Snapshot) -> tuple[object, ...]:
    """Return what changes whenever :func:`draw` could say something new."""
    facts = (snapshot.incus, snapshot.pools, snapshot.definitions)
    told = snapshot.controller.value.version if snapshot.controller is not None else ""
    return (told, *(fact.since if fact is not None else None for fact in facts))


def daemon_volumes(incus: IncusFacts, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the keys that name a volume on a LINSTOR pool which incusd cannot start without."""
    pools = snapshot.pools.value if snapshot.pools is not None else {}
    on_linstor = {name for name, pool in pools.items() if pool.driver == LINSTOR_DRIVER}
    return tuple(
        key for key in DAEMON_VOLUMES if incus.config.get(key, "").partition("/")[0] in on_linstor
    )


def exempt(snapshot: Snapshot, kept: Kept | None, binary: str) -> str:
    """Return why an answer must not be changed on this host (contract.md safety 3); "" when it may."""
    incus = snapshot.incus
    speaks = incus is not None and incus.value.phase in _SPEAKS and incus.value.version is not None
    if incus is not None and speaks and snapshot.pools is not None:
        volumes = daemon_volumes(incus.value, snapshot)
    elif kept is None:
        return "whether incusd needs a pool to start is not known: it was never seen ready"
    elif not binary:
        return "incusd's program was not found, so an upgrade would go unnoticed"
    elif kept.binary != binary:
        return "incusd's program changed since it was last ready: a storage patch may be pending, and it needs all pools"
    else:
        volumes = kept.daemon_volumes
    return f"incusd does not start without its pool: {', '.join(volumes)}" if volumes else ""


def definitions(kept: Kept, snapshot: Snapshot) -> tuple[DefinitionFacts, ...]:
    """Return ``kept``'s resource definitions, with those that were seen in this boot."""
    found = {
        one.name: DefinitionFacts(
            name=one.name,
            resource_group=one.resource_group,
            aux_name=one.aux_name or None,
            aux_type=one.aux_type or None,
            aux_content=one.aux_content or None,
        )
        for one in kept.definitions
    }
    seen = snapshot.definitions.value.values() if snapshot.definitions is not None else ()
    return tuple({**found, **{one.name: one for one in seen}}.values())


def _definitions(snapshot: Snapshot) -> tuple[asking.Definition, ...] | None:
    if snapshot.definitions is None:
        return None
    return tuple(
        asking.Definition(
            name=one.name,
            resource_group=one.resource_group,
            aux_name=one.aux_name or "",
            aux_type=one.aux_type or "",
            aux_content=one.aux_content or "",
        )
        for _, one in sorted(snapshot.definitions.value.items())
    )


# --- the pool's mount -------------------------------------------------------------------------


def standing(
    snapshot: Snapshot, report: Report, memory: Memory, *, acts: bool, lease: bool, exempt: str
) -> Standing:
    """Return what is known of this node when a pool is to be mounted."""
    verdict = decide.decide(report, waited=0.0, limit=1.0)
    runs = next(iter(memory.running.values()), "") or _primary(snapshot, report)
    return Standing(
        ready=verdict.kind is decide.VerdictKind.PASS,
        sentence=verdict.sentence,
        acts=acts,
        lease=lease,
        runs=runs,
        exempt=exempt,
    )


def is_settling(snapshot: Snapshot, report: Report) -> bool:
    """Return True while not everything has been looked at once: what is not ready may only not have been seen yet."""
    if any(snapshot.source(source).liveness is Liveness.NEW for source in _LOOKS):
        return True
    return any(
        one.code in _UNLOOKED and one.subject.kind is SubjectKind.VOLUME for one in report.findings
    )


def running(snapshot: Snapshot, report: Report) -> Mapping[str, str] | None:
    """Return resource -> instance for all that run on LINSTOR here; None while Incus cannot say."""
    incus, told = snapshot.incus, snapshot.instances
    if incus is None or told is None or incus.value.phase not in _SPEAKS:
        return None
    if snapshot.source(Source.INCUS).liveness is not Liveness.UP or told.at < incus.since:
        return None
    found: dict[str, str] = {}
    for facts in told.value.values():
        subject = ids.instance(facts.id)
        state = report.state(subject)
        for below in state.rests_on if state is not None and facts.runs else ():
            if below.kind is SubjectKind.VOLUME:
                found[VolumeId.parse(below.name).resource] = str(subject)
    return found


def _primary(snapshot: Snapshot, report: Report) -> str:
    """Return a resource that is in use here by the kernel's word: an agent that was just started knows no instance yet."""
    drbd = snapshot.drbd
    if drbd is None:
        return ""
    known = {VolumeId.parse(s.name).resource for s in _volumes(report)}
    used = (name for name, one in drbd.value.items() if one.role == "Primary" and name in known)
    return next((f"what is on {name}" for name in used), "")


# --- volumes ----------------------------------------------------------------------------------


def knows(report: Report, resource: ResourceName) -> bool:
    """Return True when something on this node that the agent watches needs the resource."""
    return any(True for _ in _of(report, resource))


def held(
    snapshot: Snapshot,
    report: Report,
    memory: Memory,
    resource: ResourceName,
    named: Mapping[str, str],
    *,
    local_truth: bool,
) -> Held:
    """Return whether the volumes of ``resource``, which the agent knows, may be used.

    ``named``: volume number -> device, as the controller has just named them; empty when it has not.
    """
    subjects = [ids.volume(volume) for volume in _of(report, resource)]
    blocking = [found for subject in subjects for found in _blocking(report, subject)]
    paths = {
        str(volume.number): fact.value.path
        for volume in _of(report, resource)
        if (fact := snapshot.devices.get(str(volume))) is not None
    }
    drbd = snapshot.drbd.value.get(resource) if snapshot.drbd is not None else None
    in_use = resource in memory.running or (drbd is not None and drbd.role == "Primary")
    ready = all(report.ready(subject) for subject in subjects)
    worst = max(blocking, key=lambda found: found.grade.badness, default=None)
    code, text = ("", "") if worst is None else (worst.code, worst.observed)
    other = next((n for n, path in named.items() if paths.get(n, path) != path), None)
    if ready and other is None and any(number not in paths for number in named):
        ready, code, text = False, "device.not-looked", "nobody has looked at its device yet"
    only_path = bool(blocking) and {found.code for found in blocking} == {_PATH_MISSING}
    return Held(
        ready=ready,
        in_use=in_use,
        paths=paths,
        code=code,
        text=text,
        here=paths if local_truth and only_path and drbd is not None else {},
    )


def looked(reports: Mapping[str, DeviceFacts]) -> Held:
    """Return whether devices that belong to nothing the agent knows may be used: made a moment ago, an image, a copy."""
    paths = {number: seen.path for number, seen in reports.items()}
    for seen in reports.values():
        code, text = _doubt(seen)
        if code:
            return Held(ready=False, known=False, paths=paths, code=code, text=text)
    return Held(ready=True, known=False, paths=paths)


def _doubt(seen: DeviceFacts) -> tuple[str, str]:
    if not seen.exists:
        return "device.missing", f"{seen.path} does not exist"
    if not seen.is_device:
        return "device.wrong", f"{seen.path} is not a block device"
    if seen.opened is OpenResult.TIMED_OUT:
        return "device.open-hangs", f"opening {seen.path} does not come back"
    if seen.opened is OpenResult.FAILED and seen.errno not in _CANNOT_TELL:
        return "device.cannot-open", f"opening {seen.path} says {seen.errno}"
    if seen.opened is OpenResult.OPENED and seen.size == 0:
        return "device.no-data", f"{seen.path} opens and has no size: nothing is attached to it"
    return "", ""


def _blocking(report: Report, subject: ids.Subject) -> tuple[Finding, ...]:
    if report.ready(subject):
        return ()
    return tuple(f for f in report.about(subject) if f.grade.badness > Grade.DEGRADED.badness)


def _volumes(report: Report) -> list[ids.Subject]:
    return [
        one.subject for one in report.subjects.values() if one.subject.kind is SubjectKind.VOLUME
    ]


def _of(report: Report, resource: ResourceName) -> list[VolumeId]:
    prefix = f"{SubjectKind.VOLUME}/{resource}/"
    return [
        VolumeId.parse(state.subject.name)
        for text, state in report.subjects.items()
        if text.startswith(prefix) and state.subject.name.rpartition("/")[0] == resource
    ]


# --- controllers, local truth -----------------------------------------------------------------


def state(snapshot: Snapshot, *, recovers: bool, lenient: bool) -> asking.State:
    """Return how the controllers stand, and what becomes of what Incus cannot mount."""
    found = snapshot.source(Source.LINSTOR)
    text = found.trouble.text if found.trouble is not None else ""
    return asking.State(
        controller=found.liveness.value, text=text, recovers=recovers, lenient=lenient
    )


def ruling(
    memory: Memory, found: Standing, now: float, limit: float
) -> tuple[Memory, asking.Mount]:
    """Return what becomes of an ONLINE, and what to remember of it."""
    fresh, said = bar.rule(memory.bar, found, now, limit)
    return msgspec.structs.replace(memory, bar=fresh), asking.Mount(ruling=said)


def noticed(memory: Memory, runs: Mapping[str, str] | None) -> Memory:
    """Return the memory after Incus said what runs (None: it said nothing)."""
    if runs is None:
        return memory
    first = next(iter(runs.values()), "")
    return Memory(bar=bar.noticed(memory.bar, runs=first), running=dict(sorted(runs.items())))
