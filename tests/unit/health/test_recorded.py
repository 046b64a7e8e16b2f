# SPDX-License-Identifier: Apache-2.0
"""Recorded states of a real LINSTOR and DRBD, through the clients' parsers and the probes' translation, as a person would judge them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests.recordings import DATA

from tidegate.clients.drbd import events2, state
from tidegate.clients.linstor import wire
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import DeviceFacts, HostFacts, OpenResult
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import NodeName, PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Source, apply
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.health import why
from tidegate.health.judge import judge
from tidegate.probes import translate_drbd, translate_linstor

ODD = VolumeId(ResourceName("odd"), 0)
IMAGE = VolumeId(ResourceName("incus-volume-55e6025a821e49ac8e70dc9d39c76592"), 0)
MINORS = {ODD: 1001, IMAGE: 1000}
OPENED: dict[str, Any] = {"opened": OpenResult.OPENED}
NO_DATA: dict[str, Any] = {"opened": OpenResult.FAILED, "errno": "ENODATA"}
GONE: dict[str, Any] = {"exists": False, "is_device": False, "rdev": None, "errno": "ENOENT"}
NOW = 1000.0
SINCE = 400.0


def part(text: str, name: str) -> list[str]:
    """The lines below ``@@ name``."""
    return text.partition(f"@@ {name}\n")[2].partition("\n@@ ")[0].splitlines()


def drbd_of(text: str) -> Observation:
    events = [event for line in part(text, "events2") if (event := events2.parse(line))]
    told = state.fold(
        state.State(), [event for event in events if isinstance(event, events2.Event)]
    )
    quorum: dict[str, str | None] = {IMAGE.resource: "majority", ODD.resource: "off"}
    first = translate_drbd.resources(told.resources.values(), now=SINCE, quorum=quorum)
    return Observation(
        source=Source.DRBD,
        at=NOW,
        drbd=translate_drbd.resources(
            told.resources.values(), now=NOW, before=first, quorum=quorum
        ),
    )


def linstor_of(folder: Path, node: NodeName) -> Observation:
    nodes = msgspec.json.decode((folder / "nodes.json").read_bytes(), type=list[wire.Node])
    view = folder / "view-resources.json"
    found = (
        msgspec.json.decode(view.read_bytes(), type=list[wire.Resource]) if view.exists() else []
    )
    names = {resource.name for resource in found}
    return Observation(
        source=Source.LINSTOR,
        at=NOW,
        controller=facts.healthy_sections()[Source.LINSTOR]["controller"],
        nodes=translate_linstor.nodes(nodes),
        storage_pools={
            "lvmthin": facts.edit(
                facts.healthy_sections()[Source.LINSTOR]["storage_pools"]["thin"],
                name="lvmthin",
                node=node,
            )
        },
        definitions={},
        placements={
            name: translate_linstor.placements(r for r in found if r.name == name) for name in names
        },
    )


def judged(
    name: str,
    opening: dict[str, Any],
    *,
    volume: VolumeId = ODD,
    node: NodeName = facts.N1,
    kernel: bool = True,
) -> Report:
    """The report on ``volume`` in a recorded state; ``kernel`` False: only LINSTOR's word."""
    folder = DATA / "fullstack" / "odd-states" / name
    wanted = WantedMap(
        node=node,
        volumes=(WantedVolume(id=volume, pool=PoolName("remote")),),
        instances=(WantedInstance(id=facts.C1, volumes=(volume,), pools=(PoolName("remote"),)),),
    )
    base: dict[str, Any] = {
        "path": f"/dev/drbd{MINORS[volume]}",
        "exists": True,
        "is_device": True,
        "rdev": (147, MINORS[volume]),
    }
    drbd = drbd_of((folder / f"{node}.txt").read_text())
    off = Observation(source=Source.DRBD, at=NOW, liveness=Liveness.OFF)
    snapshot = facts.edit(facts.empty(wanted=wanted), node=node)
    for moment in (SINCE, NOW):
        for seen in (
            Observation(
                source=Source.HOST,
                at=moment,
                host=HostFacts(drbd_module="9.3.3", satellite_present=True),
            ),
            linstor_of(folder, node),
            drbd if kernel else off,
            Observation(
                source=Source.DEVICES,
                at=moment,
                devices={str(volume): DeviceFacts(**(base | opening))},
            ),
        ):
            snapshot = apply(snapshot, facts.edit(seen, at=moment))
    return judge(snapshot, HealthPolicy())


def codes(report: Report, volume: VolumeId = ODD) -> dict[str, Grade]:
    return {finding.code: finding.grade for finding in report.about(ids.volume(volume))}


FAILING, DEGRADED = Grade.FAILING, Grade.DEGRADED


@pytest.mark.parametrize(
    ("name", "node", "opening", "ready", "expected"),
    [
        ("01-both-uptodate-secondary", "n1", OPENED, True, {}),
        ("01-both-uptodate-secondary", "n2", OPENED, True, {}),
        (
            "03-n1-primary-diskless-by-detach",
            "n1",
            OPENED,
            True,
            {"volume.diskless": DEGRADED},
        ),
        # Seen from n2 its peer is Primary: it is in use there.
        (
            "03-n1-primary-diskless-by-detach",
            "n2",
            {"opened": OpenResult.FAILED, "errno": "EMEDIUMTYPE"},
            False,
            {"volume.peer-primary": FAILING, "device.cannot-open": FAILING},
        ),
        (
            "05-n2-secondary-diskless-by-detach",
            "n1",
            OPENED,
            True,
            {"volume.peer-disk": DEGRADED},
        ),
        (
            "06-n2-disconnected-standalone-outdated",
            "n1",
            OPENED,
            True,
            {"volume.peer-alive": DEGRADED},
        ),
        (
            "06-n2-disconnected-standalone-outdated",
            "n2",
            NO_DATA,
            False,
            {
                "volume.outdated": FAILING,
                "volume.peer-primary": FAILING,
                "device.no-data": FAILING,
            },
        ),
        (
            "07-n2-synctarget-inconsistent",
            "n1",
            OPENED,
            True,
            {"volume.peer-disk": DEGRADED},
        ),
        ("10-resynced", "n1", OPENED, True, {}),
        (
            "21-split-brain-standalone",
            "n1",
            OPENED,
            False,
            {"volume.split-brain": FAILING},
        ),
        (
            "21-split-brain-standalone",
            "n2",
            OPENED,
            False,
            {"volume.split-brain": FAILING},
        ),
        (
            "44-n1-down",
            "n1",
            GONE,
            False,
            {
                "volume.not-reported": FAILING,
                # Left by the disk error of state 40: at the next boot it would come up without its disk.
                "volume.skip-disk": DEGRADED,
                "volume.down": FAILING,
                "device.missing": FAILING,
            },
        ),
        (
            "46-skipdisk-n1-diskless-client-n2-gone",
            "n1",
            NO_DATA,
            False,
            {
                "volume.diskless": FAILING,
                "volume.peer-absent": DEGRADED,
                "volume.skip-disk": DEGRADED,
                "device.no-data": FAILING,
            },
        ),
    ],
)
def test_a_recorded_state_is_judged_as_a_person_would(
    name: str, node: str, opening: dict[str, Any], ready: bool, expected: dict[str, Grade]
) -> None:
    report = judged(name, opening, node=NodeName(node))
    assert (report.ready(ids.volume(ODD)), codes(report)) == (ready, expected)


def test_a_primary_that_lost_quorum_is_suspended_and_not_ready() -> None:
    report = judged("31-n1-primary-quorum-lost-suspended", NO_DATA, volume=IMAGE)
    found = codes(report, IMAGE)
    assert not report.ready(ids.volume(IMAGE))
    assert found["volume.no-quorum"] is FAILING
    assert found["volume.suspended"] is FAILING


@pytest.mark.parametrize(
    ("name", "volume", "ready", "expected"),
    [
        ("01-both-uptodate-secondary", ODD, True, set()),
        ("03-n1-primary-diskless-by-detach", ODD, True, {"volume.diskless"}),
        ("21-split-brain-standalone", ODD, False, {"volume.split-brain"}),
        (
            "31-n1-primary-quorum-lost-suspended",
            IMAGE,
            False,
            {"volume.not-promotable", "volume.peer-absent"},
        ),
        ("44-n1-down", ODD, False, {"volume.not-reported", "volume.skip-disk"}),
        (
            "46-skipdisk-n1-diskless-client-n2-gone",
            ODD,
            False,
            {"volume.not-promotable", "volume.peer-absent", "volume.skip-disk"},
        ),
    ],
)
def test_linstor_alone_leads_to_the_same_verdict(
    name: str, volume: VolumeId, ready: bool, expected: set[str]
) -> None:
    """What the kernel cannot be asked for, the promotion score and the connections tell."""
    report = judged(name, OPENED, volume=volume, kernel=False)
    assert (report.ready(ids.volume(volume)), set(codes(report, volume))) == (ready, expected)


def test_split_brain_is_explained_with_the_command_and_without_a_force() -> None:
    report = judged("21-split-brain-standalone", OPENED)
    cause = why.why(report, ids.volume(ODD))[-1]
    assert cause.code == "volume.split-brain"
    assert "n2" in cause.observed
    assert "--discard-my-data odd" in cause.remedy
    assert "force" not in cause.remedy


def test_every_recorded_report_can_be_written_and_read() -> None:
    folder = DATA / "fullstack" / "odd-states"
    for state_folder in sorted(folder.iterdir()):
        volume = IMAGE if "quorum" in state_folder.name else ODD
        report = judged(state_folder.name, OPENED, volume=volume)
        assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
        assert json.loads(msgspec.json.encode(report))["node"] == "n1"
