# SPDX-License-Identifier: Apache-2.0
"""Recorded boots and faults of a real LINSTOR, moment by moment, through clients' types, probes' translation and the judge.

The recordings tell as well which loop device really had which file behind it: that is what may be called ready, and nothing else.
"""

import datetime as dt
import functools
import gzip
import itertools
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests import linstor_recordings

from tidegate.clients.linstor import wire
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import ControllerFacts, DeviceFacts, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.health import judge, why
from tidegate.probes import translate_linstor

URL = "http://10.77.0.1:3370"
UPTIME = 20.0
"""Seconds since boot at which a recording begins, as we pretend."""
HEX = "0123456789abcdef0123456789abcdef"
VOLUMES = (
    VolumeId(ResourceName("auto-a"), 0),
    VolumeId(ResourceName("both"), 0),
    VolumeId(ResourceName(f"incus-volume-{HEX}"), 0),
    VolumeId(ResourceName(f"incus-volume-{HEX}"), 1),
)
BOTH = VOLUMES[1]
PROGRESS = "satellite.first-run"
WANTED = WantedMap(
    node=facts.N1,
    volumes=tuple(
        WantedVolume(id=volume, pool=PoolName("remote"), content="ext4") for volume in VOLUMES
    ),
    instances=(WantedInstance(id=facts.C1, volumes=VOLUMES, pools=(PoolName("remote"),)),),
)


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
        """All codes but that of progress, which is looked at of its own."""
        return {finding.code for finding in self.report.about(subject)} - {PROGRESS}

    def ready(self, volume: VolumeId) -> bool:
        return self.report.ready(ids.volume(volume))

    def is_there(self, volume: VolumeId) -> bool:
        """LINSTOR names a loop device that has this volume's file behind it."""
        path = self.named.get(str(volume))
        file = self.attached.get(path or "", "")
        if file in self.emptied:
            return False
        return file.endswith(f"-n1/data/{volume.resource}_{volume.number:05d}.img")


@functools.cache
def frames(case: str, policy: HealthPolicy = HealthPolicy()) -> tuple[Frame, ...]:  # noqa: B008  frozen
    """Every moment of a case at which something was answered or a device came or went."""
    return tuple(_replayed(case, policy))


def _replayed(case: str, policy: HealthPolicy) -> Iterator[Frame]:
    begun = next(_timeline(case))["t"]
    devices = _Devices()
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
    for moment, entries in itertools.groupby(changes, key=lambda entry: entry["t"]):
        at = moment - begun
        now = UPTIME + at
        seen = [observation for entry in entries for observation in _heard(entry, now, devices)]
        if not seen:
            continue
        for observation in [
            *seen,
            _at(now, Source.HOST, **facts.healthy_sections()[Source.HOST]),
        ]:
            snapshot = apply(snapshot, observation)
        snapshot = apply(snapshot, devices.looked_at(snapshot, now))
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
    """The loop devices of the recorded machine."""

    def __init__(self) -> None:
        self.attached: dict[str, str] = {}
        self.emptied: set[str] = set()
        self._away = ""

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


def _heard(entry: dict[str, Any], now: float, devices: _Devices) -> Iterator[Observation]:
    """What a probe would have observed by that answer, or by looking at the devices."""
    if "event" in entry:
        if devices.take(entry):
            yield _at(now, Source.DEVICES, devices={})
        return
    if entry["status"] is None:
        trouble = Trouble(code="controller.refused", text=f"{URL}: {entry['error']}")
        yield _at(now, Source.LINSTOR, liveness=Liveness.LOST, trouble=trouble)
        return
    if entry["status"] != 200:
        return
    sections = _sections(entry["path"], json.dumps(entry["body"]).encode())
    if sections is not None:
        controller = ControllerFacts(
            url=URL, version="1.34.0", rest_api_version="1.28.0", latency=0.01
        )
        yield _at(now, Source.LINSTOR, controller=controller, **sections)


def _sections(path: str, body: bytes) -> dict[str, Any] | None:
    match path:
        case "/v1/nodes":
            return {
                "nodes": translate_linstor.nodes(msgspec.json.decode(body, type=list[wire.Node]))
            }
        case "/v1/view/storage-pools":
            found = msgspec.json.decode(body, type=list[wire.StoragePool])
            return {"storage_pools": translate_linstor.storage_pools(found, facts.N1)}
        case "/v1/view/resources":
            resources = msgspec.json.decode(body, type=list[wire.Resource])
            names = {resource.name for resource in resources}
            return {
                "placements": {
                    name: translate_linstor.placements(r for r in resources if r.name == name)
                    for name in names
                }
            }
        case _:
            return None


def _answers(case: str) -> Iterator[dict[str, Any]]:
    """All answers, at the moment they came."""
    bodies: dict[str, Any] = {}
    with gzip.open(linstor_recordings.ROOT / f"{case}.jsonl.gz", "rt") as lines:
        for raw in map(json.loads, lines):
            if "body" in raw and raw.get("status") == 200:
                bodies[raw["path"]] = raw["body"]
            body = raw.get("body", bodies.get(raw["path"]))
            came = _seconds(raw["t"]) + raw["elapsed_ms"] / 1000
            if raw["method"] == "GET":
                yield {
                    "t": came,
                    "path": raw["path"],
                    "status": raw.get("status"),
                    "body": body,
                    "error": raw.get("error", ""),
                }


def _timeline(case: str) -> Iterator[dict[str, Any]]:
    for entry in linstor_recordings.timeline(case):
        yield entry | {"t": _seconds(entry["t"])}


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def between(
    case: str,
    first: float,
    last: float,
    policy: HealthPolicy = HealthPolicy(),  # noqa: B008  frozen
) -> list[Frame]:
    found = [frame for frame in frames(case, policy) if first <= frame.at <= last]
    assert found, f"nothing was recorded between {first} and {last} s"
    return found


CASES = (
    "b1_satellite_boot_controller_up",
    "b4_controller_restart_satellites_up",
    "b7_black_hole_30s",
    "c8_device_manager_stuck_at_start",
    "d1b_after_sigcont_online_but_no_device_manager",
)
BOOT, RESTART, HOLE, STUCK, FALSE = CASES
LATE, AGAIN, KILLED = (
    "b2_controller_down_then_up_20s_after_satellite_start",
    "b3_satellite_restart_devices_stay",
    "b6_controller_kill9_and_restart",
)
NO_POOL, NO_TOOL, FULL, ONE_LOST = (
    "c2_pool_directory_missing_at_start",
    "c4_losetup_missing_at_start",
    "c5_disk_full",
    "c6_one_backing_file_lost",
)
ALL = (*CASES, LATE, AGAIN, KILLED, NO_POOL, NO_TOOL, FULL, ONE_LOST)


# --- what must hold at every moment ---------------------------------------------------------------


@pytest.mark.parametrize("case", ALL)
def test_no_volume_is_ready_before_its_device_is(case: str) -> None:
    seen = frames(case)
    early = [
        (round(frame.at, 2), str(volume), frame.named.get(str(volume)))
        for frame in seen
        for volume in VOLUMES
        if frame.ready(volume) and not frame.is_there(volume)
    ]
    assert early == []
    assert any(frame.ready(BOTH) for frame in seen) or case in {FALSE, NO_POOL, ONE_LOST}


@pytest.mark.parametrize("case", ALL)
def test_whatever_is_not_ready_says_why_and_what_to_do(case: str) -> None:
    for frame in frames(case):
        for volume in VOLUMES:
            subject = ids.volume(volume)
            if frame.ready(volume):
                continue
            steps = why.why(frame.report, subject)
            assert steps, (frame.at, str(volume))
            assert steps[-1].observed
            assert steps[-1].waiting or steps[-1].remedy, (frame.at, steps[-1])


@pytest.mark.parametrize("case", [BOOT, RESTART, HOLE, STUCK, LATE, AGAIN, KILLED, NO_TOOL, FULL])
def test_in_the_end_all_is_ready_again(case: str) -> None:
    last = frames(case)[-1]
    assert [str(volume) for volume in VOLUMES if not last.ready(volume)] == []
    assert last.report.ready(ids.SATELLITE)


# --- what a person would say, moment by moment -----------------------------------------------------


def always(found: list[Frame], subject: ids.Subject, *codes: str) -> None:
    """In each of these moments exactly these findings were made about ``subject``."""
    wrong = {round(f.at, 2): f.codes(subject) for f in found if f.codes(subject) != set(codes)}
    assert wrong == {}


def test_a_satellite_boots() -> None:
    """OFFLINE for 38 s, CONNECTED for one, ONLINE 0.9 s before the last device is named right."""
    volume = ids.volume(BOTH)
    always(between(BOOT, 0.1, 1.0), ids.SATELLITE)
    always(between(BOOT, 0.1, 1.0), volume)
    always(between(BOOT, 2.0, 39.7), ids.SATELLITE, "satellite.offline")
    always(between(BOOT, 8.0, 39.7), volume, "volume.not-reported", "device.no-data")
    always(between(BOOT, 8.0, 39.7), ids.storage_pool(facts.THIN), "storage-pool.not-known")
    always(between(BOOT, 39.8, 41.0), ids.SATELLITE, "satellite.connected")
    online = between(BOOT, 41.2, 42.0)
    always(online, ids.SATELLITE)
    assert not any(frame.ready(volume) for frame in online for volume in VOLUMES[:3])
    always(between(BOOT, 42.1, 48.0), volume)


def test_a_kept_path_of_another_volumes_device_is_never_believed() -> None:
    """After ONLINE LINSTOR reports auto-a well at /dev/loop4, behind which another volume's file is by now."""
    (first, *_), subject = between(BOOT, 41.7, 42.0), ids.volume(VOLUMES[0])
    assert first.named["auto-a/0"] == "/dev/loop4"
    assert first.attached["/dev/loop4"] == "/srv/poolb-n1/thick-n1_00000.img"
    always(between(BOOT, 41.7, 42.0), subject, "device.wrong")
    (finding,) = first.report.about(subject)
    assert "/srv/poolb-n1/thick-n1_00000.img" in finding.observed
    assert finding.waiting, "the satellite's run puts it right"


def test_a_controller_restarts() -> None:
    """Nothing answers for 47 s; then nodes are OFFLINE and paths forgotten, although every device stayed."""
    gone = between(RESTART, 1.3, 48.0)
    always(gone, ids.CONTROLLER, "controller.refused")
    assert {frame.report.ready(ids.SATELLITE) for frame in gone} == {False}
    back = between(RESTART, 48.3, 51.0)
    always(back, ids.CONTROLLER)
    assert "satellite.offline" in back[0].codes(ids.SATELLITE)
    always(back, ids.volume(BOTH), "volume.not-reported", "volume.path-missing")
    # Reported and ONLINE, and still without a path: Incus would be told nothing to open.
    online = between(RESTART, 52.5, 54.5)
    always(online, ids.SATELLITE)
    always(online, ids.volume(BOTH), "volume.path-missing")
    assert all(frame.is_there(volume) for volume in VOLUMES for frame in between(RESTART, 55, 58))


def test_a_node_in_a_black_hole() -> None:
    """The loss is noticed after 7 s; the way back takes 12 s after the hole has closed."""
    always(between(HOLE, 8.5, 43.0), ids.SATELLITE, "satellite.offline")
    always(between(HOLE, 8.5, 43.0), ids.volume(BOTH), "volume.not-reported")
    always(between(HOLE, 43.5, 43.9), ids.SATELLITE, "satellite.connected")
    always(between(HOLE, 44.1, 56.0), ids.SATELLITE)


def test_online_with_a_device_manager_that_hangs() -> None:
    """ONLINE from 34 s on, not one device until 106 s: Incus takes that for ready."""
    stuck = between(STUCK, 34.5, 106.0)
    always(stuck, ids.volume(BOTH), "volume.not-reported", "device.no-data")
    assert not any(frame.ready(volume) for frame in stuck for volume in VOLUMES)
    always(between(STUCK, 107.5, 150.0), ids.volume(BOTH))


@pytest.mark.parametrize(("case", "since", "until"), [(STUCK, 34, 106), (FALSE, 0.1, 29)])
def test_an_online_that_nothing_follows_is_not_believed_for_ever(
    case: str, since: float, until: float
) -> None:
    """With the default of 120 s both recordings end too early: 15 s show the same."""
    policy = HealthPolicy(false_online_after=15.0)
    always(between(case, since + 1, since + 12, policy), ids.SATELLITE)
    late = between(case, since + 17, until, policy)
    always(late, ids.SATELLITE, "satellite.false-online")
    assert not any(frame.report.ready(ids.SATELLITE) for frame in late)
    told = {finding.code: finding for finding in late[-1].report.about(ids.SATELLITE)}
    assert "reconnect" in told["satellite.false-online"].remedy
    assert told[PROGRESS].observed.startswith("0 of ")


@pytest.mark.parametrize("case", [NO_POOL, ONE_LOST])
def test_a_volume_that_was_made_anew_and_empty_is_told_as_such(case: str) -> None:
    """facts/linstor-observed.md A5, A19: ONLINE, READY, every path there, and nothing says that the data are elsewhere."""
    emptied = [frame for frame in frames(case) if "device.empty" in frame.codes(ids.volume(BOTH))]
    assert emptied
    assert not any(frame.ready(BOTH) for frame in emptied)
    told = {one.code: one for one in emptied[-1].report.about(ids.volume(BOTH))}["device.empty"]
    assert "holds nothing, it held ext4" in told.observed
    assert "Start nothing on it" in told.remedy
    assert not told.waiting


def test_a_tool_that_was_missing_when_the_satellite_looked() -> None:
    """facts/linstor-observed.md A17: ONLINE, pools well, and the kind of storage among the unsupported."""
    told = [
        one
        for frame in frames(NO_TOOL)
        for one in frame.report.about(ids.SATELLITE)
        if one.code == "satellite.no-provider"
    ]
    assert told
    assert "FILE_THIN is not among what n1 can do" in told[0].observed
    assert "reconnect n1" in told[0].remedy
