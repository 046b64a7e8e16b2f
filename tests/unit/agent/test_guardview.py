# SPDX-License-Identifier: Apache-2.0
"""What the guard is told of a node: well, coming up, in use, upgraded, with the controller gone."""

from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests.health_facts import RD, VOL, world

from tidegate.agent import guardview
from tidegate.agent.guardview import Kept, Memory
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import DefinitionFacts, IncusFacts, IncusPhase, OpenResult, PlacedVolume
from tidegate.core.finding import Report
from tidegate.core.ids import BootId, ResourceName, VolumeId
from tidegate.core.snapshot import Snapshot, Source
from tidegate.guard.asking import Definition
from tidegate.guard.bar import Bar, Over, Standing
from tidegate.guard.volumes import Held
from tidegate.health import judge
from tidegate.recovery import local_truth

DEVICE = f"/dev/drbd{facts.MINOR}"
FRESH = Memory.fresh(BootId("boot"))
BINARY = "/usr/libexec/incus/incusd 1 2"
GONE = facts.device(exists=False, opened=OpenResult.NOT_TRIED, errno="ENOENT", rdev=None)
NO_PATH = facts.placement(volumes=(PlacedVolume(number=0, device_path=None, minor=facts.MINOR),))
STARTING = IncusFacts(phase=IncusPhase.STARTING)


def judged(snapshot: Snapshot) -> Report:
    return judge.judge(snapshot, HealthPolicy())


def booting(**sections: Any) -> Snapshot:
    """A node in the first minute of a boot, Incus not there yet, the map of the last boot kept."""
    return world(at=30.0, since=20.0, wanted=facts.kept_map(), silent=(Source.INCUS,), **sections)


def standing(snapshot: Snapshot, memory: Memory = FRESH) -> Standing:
    return guardview.standing(snapshot, judged(snapshot), memory, acts=True, lease=False, exempt="")


def held(snapshot: Snapshot, named: dict[str, str], *, memory: Memory = FRESH, **more: Any) -> Held:
    local = {"local_truth": False} | more
    return guardview.held(snapshot, judged(snapshot), memory, RD, named, **local)


# --- mount --------------------------------------------------------------------------------------


def test_a_node_whose_volumes_are_proven_is_ready_by_the_kept_map() -> None:
    assert standing(booting()).ready


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"devices": {str(VOL): GONE}}, "does not exist"),
        ({"drbd": {}}, "DRBD in the kernel does not have it"),
        ({"placements": {RD: (NO_PATH,)}}, "LINSTOR gives no device path"),
        ({"nodes": facts.nodes(n1="CONNECTED")}, "CONNECTED"),
    ],
)
def test_what_is_missing_is_named(sections: dict[str, Any], reason: str) -> None:
    found = standing(booting(**sections))
    assert not found.ready
    assert reason in found.sentence


def test_nothing_seen_yet_is_no_verdict() -> None:
    snapshot = world(at=30.0, wanted=facts.kept_map(), silent=(Source.INCUS, Source.DEVICES))
    assert guardview.is_settling(snapshot, judged(snapshot))
    assert not guardview.is_settling(booting(), judged(booting()))


def test_what_runs_is_known_from_incus_and_remembered_while_it_is_silent() -> None:
    well = world()
    runs = guardview.running(well, judged(well))
    assert runs == {RD: "instance/default/c1"}
    memory = guardview.noticed(FRESH, runs)
    assert memory.bar.over is Over.RUNNING
    restarting = world(incus=STARTING)
    assert guardview.running(restarting, judged(restarting)) is None
    assert guardview.noticed(memory, None) == memory
    assert standing(restarting, memory).runs == "instance/default/c1"


def test_an_agent_that_was_restarted_too_asks_the_kernel_what_is_in_use() -> None:
    snapshot = booting(drbd={RD: facts.drbd_resource(role="Primary")})
    assert RD in standing(snapshot).runs
    assert held(snapshot, {"0": DEVICE}).in_use


def test_what_was_stopped_does_not_run() -> None:
    stopped = world(instances={str(facts.C1): facts.instance(status="Stopped")})
    memory = Memory(
        bar=Bar(boot_id=BootId("boot"), over=Over.RUNNING), running={RD: "instance/default/c1"}
    )
    assert guardview.noticed(memory, guardview.running(stopped, judged(stopped))).running == {}


# --- where it would kill incusd -------------------------------------------------------------------


def incus(**config: str) -> dict[str, Any]:
    return {"incus": IncusFacts(phase=IncusPhase.READY, version="7.0.2", config=config)}


@pytest.mark.parametrize(
    ("kept", "binary", "reason"),
    [
        (None, BINARY, "never seen ready"),
        (Kept(binary=BINARY), "", "not found"),
        (Kept(binary=BINARY), "/usr/libexec/incus/incusd 1 3", "storage patch"),
        (Kept(binary=BINARY, daemon_volumes=("storage.images_volume",)), BINARY, "images_volume"),
    ],
)
def test_where_an_unavailable_pool_may_kill_incusd_nothing_is_changed(
    kept: Kept | None, binary: str, reason: str
) -> None:
    assert reason in guardview.exempt(booting(), kept, binary)


def test_where_it_was_seen_ready_and_is_the_same_program_the_bar_may_be() -> None:
    assert guardview.exempt(booting(), Kept(binary=BINARY), BINARY) == ""


def test_what_incus_says_itself_counts_most() -> None:
    on_linstor = world(**incus(**{"storage.images_volume": f"{facts.POOL}/images"}))
    assert "images_volume" in guardview.exempt(on_linstor, Kept(binary=BINARY), BINARY)
    elsewhere = world(**incus(**{"storage.images_volume": "local/images"}))
    assert guardview.exempt(elsewhere, None, "") == ""


def test_it_is_kept_at_a_good_moment_only() -> None:
    well = world(**incus(**{"storage.backups_volume": f"{facts.POOL}/b"}))
    kept = guardview.draw(well, None, BINARY)
    assert kept is not None
    assert kept.daemon_volumes == ("storage.backups_volume",)
    assert kept.binary == BINARY
    assert [one.name for one in kept.definitions] == [RD]
    assert guardview.draw(booting(), kept, "another") is None
    assert guardview.draw(world(incus=STARTING), kept, "another") is None


def test_a_program_put_in_the_place_of_a_running_one_is_not_taken_for_it() -> None:
    """An upgrade without a restart: the patches of the new one are still to come."""
    running = world(incus=IncusFacts(phase=IncusPhase.READY, version="7.0.2", pid=7))
    kept = guardview.draw(running, None, BINARY)
    assert kept is not None
    still = guardview.draw(running, kept, "another")
    assert still is not None
    assert still.binary == BINARY
    assert "storage patch" in guardview.exempt(booting(), still, "another")
    restarted = world(incus=IncusFacts(phase=IncusPhase.READY, version="7.0.3", pid=8))
    fresh = guardview.draw(restarted, still, "another")
    assert fresh is not None
    assert fresh.binary == "another"


# --- volumes --------------------------------------------------------------------------------------


def test_a_proven_volume_is_ready_under_the_name_it_was_proven_under() -> None:
    found = held(booting(), {"0": DEVICE})
    assert found.ready
    assert found.paths == {"0": DEVICE}


def test_a_volume_that_is_not_ready_says_why() -> None:
    found = held(booting(devices={str(VOL): GONE}), {})
    assert not found.ready
    assert found.code == "device.node-missing"
    assert DEVICE in found.text


def test_a_volume_nobody_has_looked_at_is_not_passed_for_ready() -> None:
    gone_elsewhere = world(at=30.0, silent=(Source.INCUS, Source.DEVICES), wanted=facts.kept_map())
    assert not held(gone_elsewhere, {"0": DEVICE}).ready


@pytest.mark.parametrize(("local_truth", "here"), [(True, {"0": DEVICE}), (False, {})])
def test_a_path_that_linstor_forgot_is_filled_in_only_on_demand(
    local_truth: bool, here: dict[str, str]
) -> None:
    found = held(booting(placements={RD: (NO_PATH,)}), {}, local_truth=local_truth)
    assert not found.ready
    assert found.here == here


def test_no_path_is_filled_in_where_more_is_missing() -> None:
    snapshot = booting(
        placements={RD: (NO_PATH,)},
        drbd={RD: facts.drbd_resource(connections=(facts.connection(role="Primary"),))},
    )
    assert held(snapshot, {}, local_truth=True).here == {}


def test_devices_of_nothing_known_are_looked_at_and_no_more() -> None:
    assert guardview.looked({"0": facts.device()}).ready
    assert guardview.looked({}).ready
    for bad, code in (
        (GONE, "device.missing"),
        (facts.device(is_device=False), "device.wrong"),
        (facts.device(opened=OpenResult.TIMED_OUT), "device.open-hangs"),
        (facts.device(opened=OpenResult.FAILED, errno="ENODATA"), "device.cannot-open"),
        (facts.device(size=0), "device.no-data"),
    ):
        found = guardview.looked({"0": bad})
        assert not found.ready
        assert not found.known
        assert found.code == code
    assert guardview.looked({"0": facts.device(opened=OpenResult.FAILED, errno="EACCES")}).ready, (
        "that we may not is no reason that Incus may not"
    )


# --- local truth ----------------------------------------------------------------------------------


def alone(**sections: Any) -> Snapshot:
    return world(
        at=80.0,
        since=20.0,
        wanted=facts.kept_map(),
        lost={Source.LINSTOR: None},
        silent=(Source.INCUS,),
        **sections,
    )


def test_with_the_controller_gone_a_usable_drbd_device_is_told() -> None:
    snapshot = alone()
    report = judged(snapshot)
    assert local_truth.devices(snapshot, report, RD) == {"0": DEVICE}
    assert local_truth.wanted_resources(report) == (RD,)


@pytest.mark.parametrize(
    "sections",
    [
        {"drbd": {}},
        {"devices": {str(VOL): GONE}},
        {"drbd": {RD: facts.drbd_resource(connections=(facts.connection(state="Connecting"),))}},
        {"drbd": {RD: facts.drbd_resource(connections=(facts.connection(role="Primary"),))}},
    ],
)
def test_what_may_not_be_used_is_not_told(sections: dict[str, Any]) -> None:
    snapshot = alone(**sections)
    assert local_truth.devices(snapshot, judged(snapshot), RD) == {}


def test_the_pool_is_mounted_when_all_is_usable_or_something_is_and_recovery_wants_it() -> None:
    report = judged(alone())
    assert local_truth.may_mount(alone(), report, leased=False)
    none = alone(drbd={})
    for leased in (False, True):
        assert not local_truth.may_mount(none, judged(none), leased=leased)
    second = msgspec.structs.replace(
        report.subjects[f"volume/{VOL}"], subject=ids.volume(VolumeId(ResourceName("rd-x"), 0))
    )
    more = msgspec.structs.replace(report, subjects={**report.subjects, "x": second})
    assert not local_truth.may_mount(alone(), more, leased=False)
    assert local_truth.may_mount(alone(), more, leased=True)


def test_what_is_kept_of_all_definitions_is_joined_by_what_was_seen_since() -> None:
    """A resource that Incus did not make is kept, too: what it is cannot be told (contract.md safety 2)."""
    strange = DefinitionFacts(name=ResourceName("strange"), resource_group="remote")
    seen = alone(definitions={"strange": strange})
    kept = Kept(
        definitions=(
            Definition(name=RD, resource_group="remote", aux_name="a", aux_type="containers"),
        )
    )
    found = {one.name: one for one in guardview.definitions(kept, seen)}
    assert set(found) == {RD, "strange"}
    assert found[ResourceName("strange")] == strange
    assert found[RD].aux_type == "containers"


def test_another_resource_is_not_told() -> None:
    snapshot = alone()
    assert local_truth.devices(snapshot, judged(snapshot), ResourceName("other")) == {}


def test_essence_changes_with_what_is_kept() -> None:
    assert guardview.essence(world()) == guardview.essence(world(at=1001.0))
    assert guardview.essence(world()) != guardview.essence(world(since=70.0))
