# SPDX-License-Identifier: Apache-2.0
"""Every recorded state and stream of real DRBD (one, two and three nodes; a diskless tie-breaker; both versions), judged with no controller.

The devices are said to open and to hold what they held, so that nothing but the kernel's word can keep a volume from being ready.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests import health_facts as facts
from tests.recordings import DATA

from tidegate.clients.drbd import events2, state
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.drbd import DrbdResource
from tidegate.core.facts import DeviceFacts, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.health import judge, why
from tidegate.probes import translate_drbd

ROOT = DATA / "drbd"
DUMPS = sorted(ROOT.rglob("events2-full-timestamps-now.txt"))
STREAMS = sorted(
    path for path in ROOT.rglob("*events2*.txt") if "stream" in path.name or "reboot" in path.name
)
RULES = ("off", "majority", None)
UP, LATE = 100.0, 1000.0
"""Seconds since boot: when the devices came up, and long after every wait is over."""


def moments(path: Path) -> Iterator[state.State]:
    """The kernel's state after the first dump, and after every event that follows."""
    known, is_whole = state.State(), False
    for raw in path.read_text(errors="replace").splitlines():
        stamp, _, rest = raw.partition(" ")
        event = events2.parse(rest if stamp[:2] == "20" else raw)
        if not isinstance(event, events2.Event):
            continue
        known = state.fold(known, [event])
        is_whole = is_whole or raw.endswith("exists -")
        if is_whole:
            yield known


def judged(known: state.State, rule: str | None) -> Report:
    quorum = dict.fromkeys(known.resources, rule)
    before = translate_drbd.resources(known.resources.values(), now=UP, quorum=quorum)
    drbd = translate_drbd.resources(
        known.resources.values(), now=LATE, before=before, quorum=quorum
    )
    volumes = tuple(
        VolumeId(ResourceName(one.name), device.number)
        for one in drbd.values()
        for device in one.devices
    )
    kept = WantedMap(
        node=facts.N1,
        volumes=tuple(WantedVolume(id=one, pool=PoolName("remote")) for one in volumes),
        instances=(WantedInstance(id=facts.C1, volumes=volumes, pools=(PoolName("remote"),)),),
    )
    snapshot = facts.empty(at=LATE, wanted=kept)
    trouble = Trouble(code="controller.refused", text="refused")
    for seen in (
        Observation(source=Source.HOST, at=LATE, **facts.healthy_sections()[Source.HOST]),
        Observation(source=Source.LINSTOR, at=LATE, liveness=Liveness.LOST, trouble=trouble),
        Observation(source=Source.DRBD, at=LATE, drbd=drbd),
        Observation(source=Source.DEVICES, at=LATE, devices=dict(_devices(drbd))),
    ):
        snapshot = apply(snapshot, seen)
    return judge.judge(snapshot, HealthPolicy())


def _devices(drbd: dict[str, DrbdResource]) -> Iterator[tuple[str, DeviceFacts]]:
    for name, resource in drbd.items():
        for device in resource.devices:
            yield (
                f"{name}/{device.number}",
                DeviceFacts(
                    path=f"/dev/drbd{device.minor}",
                    exists=True,
                    is_device=True,
                    rdev=(147, device.minor),
                    opened=OpenResult.OPENED,
                    content="ext4",
                    size=1 << 30,
                ),
            )


def told_no(one: state.Resource) -> str:
    """Why DRBD itself would not let this resource be used on this node; empty when it would."""
    if one.suspended not in {"no", ""}:
        return f"suspended:{one.suspended}"
    if any(link.role == "Primary" for link in one.connections) and one.role != "Primary":
        return "a peer is Primary"
    if one.role != "Primary" and one.may_promote is False:
        return "may_promote:no"
    return ""


def too_early(known: state.State, rule: str | None) -> list[str]:
    report = judged(known, rule)
    found = []
    for one in known.resources.values():
        for device in one.devices:
            subject = ids.volume(VolumeId(ResourceName(one.name), device.volume))
            if not report.ready(subject):
                assert why.why(report, subject)[-1].observed
                continue
            if told_no(one):
                found.append(f"{subject}: {told_no(one)}")
            # Nobody can say whether an absent peer with a disk of its own lives, so nobody may go on without it.
            alone = [
                link.name
                for link in one.connections
                if link.state != "Connected"
                and not any(half.client for half in link.peer_devices)
                and one.role != "Primary"
            ]
            if rule != "majority" and alone:
                found.append(f"{subject}: without {alone}")
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("path", DUMPS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_no_recorded_state_is_ready_that_drbd_refuses(path: Path, rule: str | None) -> None:
    for known in moments(path):
        assert too_early(known, rule) == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nor_at_any_moment_of_a_stream(path: Path, rule: str | None) -> None:
    last = None
    for known in moments(path):
        if last is None or known.resources != last:
            assert too_early(known, rule) == []
        last = known.resources


THREE = ROOT / "three-guests-diskless-tiebreaker_kmod-9.2.18_utils-9.34.0"


@pytest.mark.parametrize(
    ("state_", "node", "ready", "codes"),
    [
        ("01-all-secondary", "n1", True, set()),
        ("01-all-secondary", "n3", True, set()),
        ("02-n1-primary-mounted", "n1", True, set()),
        ("02-n1-primary-mounted", "n2", False, {"volume.peer-primary"}),
        ("03-n2-down-n1-primary", "n1", True, {"volume.peer-absent"}),
        ("05-n3-down", "n1", True, set()),
        ("06-n3-diskless-primary", "n3", True, set()),
        ("06-n3-diskless-primary", "n1", False, {"volume.peer-primary"}),
        ("13-all-back", "n2", True, set()),
    ],
)
def test_three_nodes_with_a_tie_breaker(
    state_: str, node: str, ready: bool, codes: set[str]
) -> None:
    """LINSTOR's layout of three: majority, n3 without a disk."""
    (known,) = moments(THREE / node / state_ / "events2-full-timestamps-now.txt")
    report = judged(known, "majority")
    subject = ids.volume(VolumeId(ResourceName("pvc-r0"), 0))
    told = {one.code for one in report.about(subject)} - {"volume.on-local-truth"}
    grade_free = told - {"volume.diskless"} if node == "n3" else told
    assert (report.ready(subject), grade_free) == (ready, codes)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
