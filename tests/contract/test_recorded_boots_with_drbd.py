# SPDX-License-Identifier: Apache-2.0
"""Recorded boots of the whole stack with DRBD 9, moment by moment: the controller's answers and the kernel's events, joined by time.

What is true is taken from the kernel's own events: a volume may be called ready only while its local disk is UpToDate, and, without a
quorum rule, only with its peer connected or after it was waited for.
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
from tests.recordings import DATA

from tidegate.clients.drbd import events2, state
from tidegate.clients.linstor import wire
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.drbd import DrbdResource
from tidegate.core.facts import ControllerFacts, DeviceFacts, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import BootId, PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.health import judge, why
from tidegate.probes import translate_drbd, translate_linstor

FOLDER = DATA / "fullstack"
BOOTS = (
    "s2-power-loss",
    "e0-stock-all-restarted",
    "e1-devices-first",
    "s6-recipe-notify-before-incus-controller-down",
)
RESTART = "s6b-notify-without-controller"
"""No boot: the satellite restarts, the controller is away twice, and DRBD goes on as boot s6 had left it."""
AGAIN = 5.0
"""Seconds between two judgements while every answer is as it was: the recordings keep what changed."""
POLICY = HealthPolicy()


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What was judged at one moment (seconds of the recording) and what the kernel said then."""

    at: float
    report: Report
    kernel: dict[str, state.Resource]


def _moments(boot: str) -> Iterator[tuple[float, str, Any]]:
    """Yield (seconds since the epoch, kind, what), in the order of a recording."""
    with gzip.open(FOLDER / boot / "controller-polls.jsonl.gz", "rt") as lines:
        for raw in map(json.loads, lines):
            yield raw["t"] + raw["ms"] / 1000, "answer", raw
    if boot != RESTART:
        yield from _events(boot)


def _events(boot: str) -> Iterator[tuple[float, str, Any]]:
    with gzip.open(FOLDER / boot / "n1" / "events2.txt.gz", "rt") as lines:
        for line in lines:
            stamp, _, rest = line.partition(" ")
            if line.startswith("#"):
                continue
            try:
                at = dt.datetime.fromisoformat(stamp).timestamp()
            except ValueError:
                continue
            event = events2.parse(rest.rstrip("\n"))
            if isinstance(event, events2.Event):
                yield at, "event", event


@functools.cache
def frames(boot: str) -> tuple[Frame, ...]:
    """Judge the boot at every answer, and whenever the kernel told something."""
    moments = sorted(_moments(boot), key=lambda moment: moment[0])
    began = moments[0][0]
    moments = sorted([*moments, *_pauses(moments)], key=lambda moment: moment[0])
    answers: dict[str, Any] = {}
    resources = sorted(_names(moments))
    volumes = tuple(VolumeId(ResourceName(name), 0) for name in resources)
    kept = WantedMap(
        node=facts.N1,
        volumes=tuple(WantedVolume(id=one, pool=PoolName("remote")) for one in volumes),
        instances=(WantedInstance(id=facts.C1, volumes=volumes, pools=(PoolName("remote"),)),),
    )
    snapshot = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=0.0, node=facts.N1, wanted=kept)
    kernel = state.State()
    if boot == RESTART:
        kernel = state.fold(kernel, [what for _, _, what in _events(BOOTS[-1])])
    known: dict[str, DrbdResource] = {}
    found = []
    for moment, kind, what in moments:
        now = moment - began
        if kind == "event":
            kernel = state.fold(kernel, [what])
        elif kind == "answer":
            answers[what["path"]] = what
        for seen in (one for told in answers.values() for one in _answer(told, now)):
            snapshot = apply(snapshot, seen)
        known = translate_drbd.resources(
            kernel.resources.values(),
            now=now,
            before=known,
            quorum=dict.fromkeys(kernel.resources, "off"),
        )
        for seen in (
            Observation(source=Source.HOST, at=now, **facts.healthy_sections()[Source.HOST]),
            Observation(source=Source.DRBD, at=now, drbd=known),
            Observation(source=Source.DEVICES, at=now, devices=_devices(kernel, volumes)),
        ):
            snapshot = apply(snapshot, seen)
        snapshot = msgspec.structs.replace(snapshot, at=now)
        if kind != "event" or what.kind in {events2.Kind.DEVICE, events2.Kind.CONNECTION}:
            report = judge.judge(snapshot, POLICY)
            found.append(Frame(at=now, report=report, kernel=dict(kernel.resources)))
    return tuple(found)


def _pauses(moments: list[tuple[float, str, Any]]) -> Iterator[tuple[float, str, Any]]:
    """Yield moments at which nothing happened, between those at which something did."""
    for (before, _, _), (after, _, _) in itertools.pairwise(moments):
        for number in range(1, int((after - before) / AGAIN) + 1):
            yield before + number * AGAIN, "pause", None


def _names(moments: list[tuple[float, str, Any]]) -> set[str]:
    """Return the resources of Incus that are placed on n1."""
    return {
        resource["name"]
        for _, kind, raw in moments
        if kind == "answer" and raw["path"] == "/v1/view/resources" and raw["code"] == 200
        for resource in raw["body"]
        if resource["node_name"] == "n1" and resource["name"].startswith("incus-volume-")
    }


def _answer(raw: dict[str, Any], now: float) -> Iterator[Observation]:
    if raw["code"] != 200:
        if raw["path"] == "/v1/nodes":
            trouble = Trouble(code="controller.refused", text="refused")
            yield Observation(
                source=Source.LINSTOR, at=now, liveness=Liveness.LOST, trouble=trouble
            )
        return
    body = json.dumps(raw["body"]).encode()
    sections: dict[str, Any] = {}
    if raw["path"] == "/v1/nodes":
        sections["nodes"] = translate_linstor.nodes(msgspec.json.decode(body, type=list[wire.Node]))
    elif raw["path"] == "/v1/view/resources":
        found = msgspec.json.decode(body, type=list[wire.Resource])
        names = {one.name for one in found}
        sections["placements"] = {
            name: translate_linstor.placements(one for one in found if one.name == name)
            for name in names
        }
    pool = facts.healthy_sections()[Source.LINSTOR]["storage_pools"]["thin"]
    yield Observation(
        source=Source.LINSTOR,
        at=now,
        controller=ControllerFacts(
            url="http://10.88.0.1:3370", version="1.34.0", rest_api_version="1.28.0", latency=0.01
        ),
        storage_pools={"lvmthin": facts.edit(pool, name="lvmthin")},
        **sections,
    )


def _devices(kernel: state.State, volumes: tuple[VolumeId, ...]) -> dict[str, DeviceFacts]:
    """Return what opening shows: nothing there, no data, or a device that opens (facts/fullstack-observed.md)."""
    found = {}
    for volume in volumes:
        resource = kernel.resources.get(volume.resource)
        device = resource.device(volume.number) if resource is not None else None
        if device is None:
            continue
        good = device.disk == "UpToDate"
        found[str(volume)] = DeviceFacts(
            path=f"/dev/drbd{device.minor}",
            exists=True,
            is_device=True,
            rdev=(147, device.minor),
            opened=OpenResult.OPENED if good else OpenResult.FAILED,
            errno=None if good else "ENODATA",
            content="ext4" if good else None,
            size=1 << 30 if good else None,
        )
    return found


def _ready(frame: Frame) -> list[VolumeId]:
    return [
        VolumeId.parse(state_.subject.name)
        for state_ in frame.report.subjects.values()
        if state_.subject.kind is ids.SubjectKind.VOLUME and state_.ready
    ]


@pytest.mark.parametrize("boot", [*BOOTS, RESTART])
def test_never_ready_before_the_device_is(boot: str) -> None:
    early: list[tuple[float, str, object]] = []
    up_since: dict[str, float] = {}
    for frame in frames(boot):
        for name in frame.kernel:
            up_since.setdefault(name, frame.at)
        for volume in _ready(frame):
            resource = frame.kernel.get(volume.resource)
            device = resource.device(0) if resource is not None else None
            if device is None or resource is None or device.disk != "UpToDate":
                early.append((round(frame.at, 1), str(volume), device))
                continue
            alone = not any(link.state == "Connected" for link in resource.connections)
            waited = frame.at - up_since[volume.resource]
            if alone and resource.role != "Primary" and waited < POLICY.peer_wait:
                early.append((round(frame.at, 1), str(volume), "alone"))
    assert early == []


@pytest.mark.parametrize("boot", [*BOOTS, RESTART])
def test_in_the_end_all_is_ready(boot: str) -> None:
    last = frames(boot)[-1]
    volumes = [one for one in last.report.subjects.values() if one.subject.kind == "volume"]
    assert len(volumes) >= 4
    assert [(str(one.subject), one.summary) for one in volumes if not one.ready] == []


@pytest.mark.parametrize("boot", [*BOOTS, RESTART])
def test_whatever_is_not_ready_says_why(boot: str) -> None:
    for frame in frames(boot)[::10]:
        for one in frame.report.subjects.values():
            if one.ready or one.subject.kind is not ids.SubjectKind.VOLUME:
                continue
            steps = why.why(frame.report, one.subject)
            assert steps, (frame.at, str(one.subject))
            assert steps[-1].observed


def test_devices_first_are_not_ready_to_incus_before_the_satellite_is() -> None:
    """In e1 DRBD is up long before the satellite: good on local truth alone only where no controller can be asked."""
    early = [frame for frame in frames("e1-devices-first") if frame.kernel and not _ready(frame)]
    assert early, (
        "while the satellite is OFFLINE the controller says so, and Incus would be refused"
    )


def test_a_controller_that_is_away_takes_no_running_volume_with_it() -> None:
    """s6b: the satellite waits for its controller, and the containers and DRBD do not notice."""
    gone = [
        frame
        for frame in frames(RESTART)
        if {"controller.refused"} == {one.code for one in frame.report.about(ids.CONTROLLER)}
    ]
    assert len(gone) > 20
    for frame in gone:
        assert len(_ready(frame)) >= 4, "usable on local truth"
        codes = {
            one.code for volume in _ready(frame) for one in frame.report.about(ids.volume(volume))
        }
        assert codes == {"volume.on-local-truth"}
        assert not frame.report.ready(ids.SATELLITE)
