"""Recorded boots and faults of a real LINSTOR, replayed moment by moment: clients' types, probes' translation, the judge.

The recordings tell as well which loop device really had which file behind it: that is what may be called ready, and nothing else.
"""

import datetime as dt
import functools
import gzip
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from tests import health_facts as facts
from tests import linstor_recordings

from tidegate.clients.linstor import wire
from tidegate.clients.systemd.follow import Line
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.evidence import JournalFacts
from tidegate.core.facts import ControllerFacts, DeviceFacts, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.health import judge
from tidegate.probes import translate_journal, translate_linstor

URL = "http://10.77.0.1:3370"
UPTIME = 20.0
"""Seconds since boot at which a recording begins, as we pretend."""
SELDOM = 1.0
"""Seconds between two judgements while nothing but lines of the journal come."""
UNIT = "linstor-satellite.service"
HEX = "0123456789abcdef0123456789abcdef"
VOLUMES = tuple(
    VolumeId(ResourceName(name), number)
    for name, number in (
        ("auto-a", 0),
        ("both", 0),
        (f"incus-volume-{HEX}", 0),
        (f"incus-volume-{HEX}", 1),
        ("man-n1", 0),
        ("thick-n1", 0),
        ("two-vol", 0),
        ("two-vol", 1),
    )
)
"""All that node n1 holds."""
BOTH = VOLUMES[1]
PROGRESS = "satellite.first-run"
REPORTS = "satellite.error-reports"
"""The recorded machine has no /proc/modules, and every start of its satellites writes a report about that."""
WANTED = WantedMap(
    node=facts.N1,
    volumes=tuple(
        WantedVolume(id=volume, pool=PoolName("remote"), content="ext4") for volume in VOLUMES
    ),
    instances=(WantedInstance(id=facts.C1, volumes=VOLUMES, pools=(PoolName("remote"),)),),
)
_BEFORE = {
    "d1_satellite_sigstop_40s": "d1b_after_sigcont_online_but_no_device_manager",
    "d2_losetup_hangs_device_manager_stuck": "d1b_after_sigcont_online_but_no_device_manager",
}
"""Recordings that do not say which devices there are, and the one of the same run that does: none came or went in between."""
_ONE_NODE = re.compile(r"/v1/nodes/[^/]+")
_PLACED = re.compile(r"/v1/resource-definitions/[^/]+/resources(?:/[^/]+)?")


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged at one moment (seconds of the recording), and what was true then."""

    at: float
    report: Report
    attached: dict[str, str]
    """Loop device -> file behind it."""
    named: dict[str, str | None]
    """Volume -> device path that LINSTOR gave."""
    emptied: frozenset[str]
    """Files that were lost, and made anew by the satellite."""

    def codes(self, subject: ids.Subject) -> set[str]:
        """All codes but those of progress and of error reports, which are looked at of their own."""
        return {finding.code for finding in self.report.about(subject)} - {PROGRESS, REPORTS}

    def ready(self, volume: VolumeId) -> bool:
        return self.report.ready(ids.volume(volume))

    def is_there(self, volume: VolumeId) -> bool:
        """LINSTOR names a loop device that has this volume's file behind it."""
        path = self.named.get(str(volume))
        file = self.attached.get(path or "", "")
        if file in self.emptied:
            return False
        here = file.startswith(("/srv/pool-n1/", "/srv/poolb-n1/"))
        return here and file.endswith(f"/{volume.resource}_{volume.number:05d}.img")


@functools.cache
def frames(case: str, policy: HealthPolicy = HealthPolicy()) -> tuple[Frame, ...]:  # noqa: B008  frozen
    """Every moment of a case at which something was answered, written or a device came or went."""
    return tuple(_replayed(case, policy))


def between(
    case: str,
    first: float,
    last: float,
    policy: HealthPolicy = HealthPolicy(),  # noqa: B008  frozen
) -> list[Frame]:
    found = [frame for frame in frames(case, policy) if first <= frame.at <= last]
    assert found, f"nothing was recorded between {first} and {last} s"
    return found


def always(found: list[Frame], subject: ids.Subject, *codes: str) -> None:
    """In each of these moments exactly these findings were made about ``subject``."""
    wrong = {round(f.at, 2): f.codes(subject) for f in found if f.codes(subject) != set(codes)}
    assert wrong == {}


def _replayed(case: str, policy: HealthPolicy) -> Iterator[Frame]:
    begun = _seconds(next(linstor_recordings.timeline(case))["t"])
    devices, told = _Devices(_BEFORE.get(case)), _Told()
    snapshot = apply(
        Snapshot(
            at=UPTIME,
            boot_id=ids.BootId("b"),
            boot_wall=facts.BOOT_WALL,
            node=facts.N1,
            wanted=WANTED,
        ),
        _at(UPTIME, Source.HOST, **facts.healthy_sections()[Source.HOST]),
    )
    changes = sorted([*_answers(case), *_timeline(case)], key=lambda entry: entry["t"])
    judged_at = float("-inf")
    for moment, entries in itertools.groupby(changes, key=lambda entry: entry["t"]):
        at = moment - begun
        now = UPTIME + at
        seen = [observation for entry in entries for observation in told.heard(entry, now, devices)]
        if not seen:
            continue
        for observation in [
            *seen,
            _at(now, Source.HOST, **facts.healthy_sections()[Source.HOST]),
        ]:
            snapshot = apply(snapshot, observation)
        snapshot = apply(snapshot, devices.looked_at(snapshot, now))
        if all(one.source is Source.JOURNAL for one in seen) and now - judged_at < SELDOM:
            continue  # a satellite that starts writes hundreds of lines
        judged_at = now
        yield Frame(
            at=at,
            report=judge.judge(snapshot, policy),
            attached=dict(devices.attached),
            named=_named(snapshot),
            emptied=frozenset(devices.emptied),
        )


def _at(now: float, source: Source, **sections: Any) -> Observation:
    return Observation(source=source, at=now, **sections)


class _Devices:
    """The loop devices of the recorded machine; at first those of the beginning of recording ``like``."""

    def __init__(self, like: str | None) -> None:
        self.attached: dict[str, str] = {}
        self.emptied: set[str] = set()
        self._away = ""
        if like is not None:
            self.take(
                next(one for one in _timeline(like) if one["event"] == "loop devices at start")
            )

    def take(self, entry: dict[str, Any]) -> bool:
        """Take in an entry of the time line; True when something changed."""
        match entry["event"]:
            case "loop devices at start":
                self.attached = dict(entry["devs"])
            case "device appeared":
                self.attached[entry["dev"]] = entry["backing"]
                if self._away and self._away in entry["backing"]:
                    self.emptied.add(entry["backing"])
            case "device gone":
                self.attached.pop(entry["dev"], None)
            case "thin pool directory renamed away":
                self._away = "/srv/pool-n1/data/"
            case "backing file of both removed":
                self._away = "/srv/pool-n1/data/both_00000.img"
            case _:
                return False
        return True

    def looked_at(self, snapshot: Snapshot, now: float) -> Observation:
        """What opening the named devices shows."""
        named = {key: path for key, path in _named(snapshot).items() if path}
        return _at(
            now, Source.DEVICES, devices={key: self._device(path) for key, path in named.items()}
        )

    def _device(self, path: str) -> DeviceFacts:
        file = self.attached.get(path)
        return DeviceFacts(
            path=path,
            exists=True,  # the node of a loop device stays
            is_device=True,
            rdev=(7, int(path.removeprefix("/dev/loop"))),
            opened=OpenResult.OPENED,
            content="zero" if file in self.emptied else "ext4" if file else "empty",
            size=1 << 25 if file else 0,
            backing_file=file,
        )


def _named(snapshot: Snapshot) -> dict[str, str | None]:
    return {
        f"{name}/{volume.number}": volume.device_path
        for name, fact in snapshot.placements.items()
        for placement in fact.value
        if placement.node == facts.N1
        for volume in placement.volumes
    }


class _Told:
    """What was answered and written so far, as far as later answers tell only a part of it."""

    def __init__(self) -> None:
        self._nodes: dict[str, wire.Node] = {}
        self._resources: dict[tuple[str, str], wire.Resource] = {}
        self._journal = JournalFacts()

    def heard(self, entry: dict[str, Any], now: float, devices: _Devices) -> Iterator[Observation]:
        """What a probe would have observed by that answer or line, or by looking at the devices."""
        if "event" in entry:
            yield from self._happened(entry, now, devices)
            return
        if entry["status"] is None:
            trouble = Trouble(code="controller.refused", text=f"{URL}: {entry['error']}")
            yield _at(now, Source.LINSTOR, liveness=Liveness.LOST, trouble=trouble)
            return
        if entry["status"] == 200:
            sections = self._sections(entry["path"], json.dumps(entry["body"]).encode())
            yield from _linstor(now, sections)

    def _happened(
        self, entry: dict[str, Any], now: float, devices: _Devices
    ) -> Iterator[Observation]:
        if devices.take(entry):
            yield _at(now, Source.DEVICES, devices={})
        elif (entry["event"], entry.get("src")) == ("process ended", "ctl"):
            trouble = Trouble(code="controller.refused", text=f"{URL}: connection refused")
            yield _at(now, Source.LINSTOR, liveness=Liveness.LOST, trouble=trouble)
        elif entry["event"] == "node":
            # Of some cases the answers themselves were not kept, only what changed in them.
            known = self._nodes.get(entry["node"], wire.Node(name=entry["node"]))
            status = entry["connection_status"]
            self._nodes[known.name] = msgspec.structs.replace(known, connection_status=status)
            yield from _linstor(now, self._node_sections())
        elif entry["event"] == "log" and entry["src"] == "n1":
            line = Line(at=now, unit=UNIT, text=entry["line"])
            self._journal = translate_journal.fold(
                self._journal, [line], satellite=UNIT, incus="incus.service"
            )
            yield _at(now, Source.JOURNAL, journal=self._journal)

    def _sections(self, path: str, body: bytes) -> dict[str, Any] | None:
        if body[:1] not in b"[{":
            return None  # asked for in another form
        if path == "/v1/nodes":
            nodes = msgspec.json.decode(body, type=list[wire.Node])
            self._nodes = {node.name: node for node in nodes}
            return self._node_sections()
        if _ONE_NODE.fullmatch(path):
            node = msgspec.json.decode(body, type=wire.Node)
            self._nodes[node.name] = node
            return self._node_sections()
        if path == "/v1/view/storage-pools":
            found = msgspec.json.decode(body, type=list[wire.StoragePool])
            return {"storage_pools": translate_linstor.storage_pools(found, facts.N1)}
        if path == "/v1/view/resources":
            self._resources.clear()
            return self._placed(msgspec.json.decode(body, type=list[wire.Resource]))
        if _PLACED.fullmatch(path):
            told = body if body.startswith(b"[") else b"[%s]" % body
            return self._placed(msgspec.json.decode(told, type=list[wire.Resource]))
        return None

    def _node_sections(self) -> dict[str, Any]:
        return {"nodes": translate_linstor.nodes(self._nodes.values())}

    def _placed(self, found: list[wire.Resource]) -> dict[str, Any]:
        self._resources |= {(one.name, one.node_name): one for one in found}
        return {
            "placements": {
                name: translate_linstor.placements(
                    one for one in self._resources.values() if one.name == name
                )
                for name in {one.name for one in found}
            }
        }


def _linstor(now: float, sections: dict[str, Any] | None) -> Iterator[Observation]:
    if sections is not None:
        controller = ControllerFacts(
            url=URL, version="1.34.0", rest_api_version="1.28.0", latency=0.01
        )
        yield _at(now, Source.LINSTOR, controller=controller, **sections)


def _answers(case: str) -> Iterator[dict[str, Any]]:
    """All answers that were kept whole, at the moment they came."""
    bodies: dict[str, Any] = {}
    with gzip.open(linstor_recordings.ROOT / f"{case}.jsonl.gz", "rt") as lines:
        for raw in map(json.loads, lines):
            if "body" in raw and raw.get("status") == 200:
                bodies[raw["path"]] = raw["body"]
            body = raw.get("body", bodies.get(raw["path"]) if raw.get("same_body") else None)
            came = _seconds(raw["t"]) + raw["elapsed_ms"] / 1000
            is_kept = body is not None or raw.get("status") is None
            if raw["method"] == "GET" and is_kept and "/events/" not in raw["path"]:
                yield {
                    "t": came,
                    "path": raw["path"],
                    "status": raw.get("status"),
                    "body": body,
                    "error": raw.get("error", ""),
                }


def _timeline(case: str) -> Iterator[dict[str, Any]]:
    """What was seen from outside; with all that the satellite wrote where that was kept, else with the lines that were chosen."""
    written = list(_log(case))
    for entry in linstor_recordings.timeline(case):
        if not (written and entry["event"] == "log"):
            yield entry | {"t": _seconds(entry["t"])}
    yield from written


def _log(case: str) -> Iterator[dict[str, Any]]:
    path = linstor_recordings.ROOT / f"{case}.journal.log.gz"
    if not path.exists():
        return
    with gzip.open(path, "rt") as lines:
        for raw in lines:
            moment, _, rest = raw.rstrip("\n").partition(" ")
            source, _, line = rest.partition(" ")
            yield {"t": _seconds(moment), "event": "log", "src": source, "line": line}


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
