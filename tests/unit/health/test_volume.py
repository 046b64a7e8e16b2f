# SPDX-License-Identifier: Apache-2.0
"""Volumes: from placement to proof, with a controller, over REST alone, and on local truth alone."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import C1, N1, N2, N3, RD, VOL, edit, placement, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.evidence import Reach
from tidegate.core.facts import NeededVolume, OpenResult, PlacedVolume
from tidegate.core.finding import Grade, Report
from tidegate.core.snapshot import Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.health.judge import judge

SUBJECT = ids.volume(VOL)
REFUSED = Trouble(code="controller.refused", text="http://10.88.0.1:3370 refuses connections")
LOST = {Source.LINSTOR: REFUSED}


def report(snapshot: Snapshot, **policy: Any) -> Report:
    return judge(snapshot, HealthPolicy(**policy))


def verdict(snapshot: Snapshot, **policy: Any) -> tuple[bool, Grade, list[str]]:
    """Ready, grade and the codes of all findings about the volume, worst first."""
    made = report(snapshot, **policy)
    state = made.state(SUBJECT)
    assert state is not None
    return state.ready, state.grade, [finding.code for finding in made.about(SUBJECT)]


def here(**more: Any) -> dict[str, Any]:
    return {"placements": {RD: (placement(N1, **more), placement(N2))}}


def path(device_path: str | None) -> dict[str, Any]:
    return here(volumes=(PlacedVolume(number=0, device_path=device_path, minor=facts.MINOR),))


def test_a_good_volume_is_ready_and_rests_on_satellite_and_storage_pool() -> None:
    made = report(world())
    state = made.state(SUBJECT)
    assert state is not None
    assert (state.ready, state.grade) == (True, Grade.OK)
    assert [str(below) for below in state.rests_on] == ["satellite", "storage-pool/thin"]


@pytest.mark.parametrize(
    ("sections", "ready", "codes"),
    [
        pytest.param(here(state_reported=False), False, ["volume.not-reported"], id="not reported"),
        pytest.param(path(None), False, ["volume.path-missing"], id="no path"),
        pytest.param(here(skip_disk=True), True, ["volume.skip-disk"], id="SkipDisk"),
        pytest.param(here(flags=("DELETE",)), False, ["volume.gone"], id="being deleted"),
        pytest.param(here(flags=("INACTIVE",)), False, ["volume.inactive"], id="deactivated"),
        pytest.param(here(volumes=()), False, ["volume.gone"], id="no such number"),
        pytest.param({"drbd": {}}, False, ["volume.down"], id="kernel has it not"),
        pytest.param({"devices": {}}, False, ["device.not-looked"], id="nobody looked"),
        pytest.param(
            {"placements": {}}, False, ["volume.not-known"], id="LINSTOR not asked about it yet"
        ),
        pytest.param(
            {"devices": {str(VOL): facts.device(rdev=(147, 1))}},
            False,
            ["device.wrong"],
            id="another device",
        ),
        pytest.param(
            {"drbd": {RD: facts.drbd_resource(connections=(facts.connection(role="Primary"),))}},
            False,
            ["volume.peer-primary"],
            id="peer is Primary",
        ),
    ],
)
def test_with_a_controller(sections: dict[str, Any], ready: bool, codes: list[str]) -> None:
    assert (verdict(world(**sections))[0], verdict(world(**sections))[2]) == (ready, codes)


def test_the_kernel_wins_over_linstor() -> None:
    """LINSTOR still says promotion score 0; DRBD in the kernel is well."""
    assert verdict(world(**here(promotion_score=0)))[0]
    broken = facts.drbd_resource(
        devices=(facts.drbd_device("Outdated"),), connections=(), promotion_score=0
    )
    assert not verdict(world(drbd={RD: broken}))[0]


def test_linstor_knows_a_primary_that_drbd_cannot_reach() -> None:
    cut = facts.drbd_resource(connections=(facts.connection(state="Connecting"),))
    places = {RD: (placement(N1), placement(N2, in_use=True))}
    ready, _, codes = verdict(world(drbd={RD: cut}, placements=places))
    assert not ready
    assert "volume.peer-primary" in codes


def test_a_connection_to_a_node_that_linstor_took_the_replica_from_does_not_hold() -> None:
    left_over = facts.connection(peer=N3, state="Connecting")
    drbd = facts.drbd_resource(connections=(facts.connection(), left_over))
    assert verdict(world(drbd={RD: drbd}))[0]


def test_a_placed_peer_that_drbd_does_not_know_holds() -> None:
    ready, _, codes = verdict(world(drbd={RD: facts.drbd_resource(connections=())}))
    assert not ready
    assert codes == ["volume.peer-alive"]


@pytest.mark.parametrize(
    ("flags", "ready"),
    [((), False), (("DELETE",), True), (("INACTIVE",), True), (("INACTIVE", "EVICTED"), False)],
)
def test_which_peers_count(flags: tuple[str, ...], ready: bool) -> None:
    """A replica that is taken away holds nothing that counts; an evicted node's may still have newer data."""
    cut = facts.drbd_resource(connections=(facts.connection(state="Connecting"),))
    places = {RD: (placement(N1), placement(N2, flags=flags, state_reported=False, in_use=None))}
    assert verdict(world(drbd={RD: cut}, placements=places))[0] is ready


def test_the_quorum_rule_comes_from_the_kernel_else_from_the_definition() -> None:
    cut = facts.drbd_resource(
        quorum_policy=None, connections=(facts.connection(state="Connecting"),)
    )
    assert not verdict(world(drbd={RD: cut}))[0]
    definitions = facts.healthy_sections()[Source.LINSTOR]["definitions"]
    ruled = {RD: edit(definitions[RD], quorum="majority")}
    assert verdict(world(drbd={RD: cut}, definitions=ruled))[0]


@pytest.mark.parametrize(
    ("rule", "decides"),
    [("majority", True), ("all", True), ("2", True), ("1", False), ("off", False)],
)
def test_which_quorum_rules_keep_two_halves_apart(rule: str, decides: bool) -> None:
    cut = facts.drbd_resource(
        quorum_policy=rule, connections=(facts.connection(state="Connecting"),)
    )
    assert verdict(world(drbd={RD: cut}))[0] is decides


# --- over REST alone -------------------------------------------------------------------------


def test_over_rest_where_the_kernel_cannot_be_asked() -> None:
    assert verdict(world(off=(Source.DRBD,))) == (True, Grade.OK, [])
    ready, _, codes = verdict(world(off=(Source.DRBD,), **here(promotion_score=0)))
    assert (ready, codes) == (False, ["volume.not-promotable"])


def test_over_rest_the_peer_wait_begins_when_the_device_was_first_seen() -> None:
    sections = here(connections=((N2, "Connecting"),)) | {"nodes": facts.nodes(n2="OFFLINE")}
    early = world(at=75.0, since=60.0, off=(Source.DRBD,), **sections)
    assert verdict(early)[2] == ["volume.peer-waiting"]
    late = world(at=95.0, since=60.0, off=(Source.DRBD,), **sections)
    assert verdict(late) == (True, Grade.DEGRADED, ["volume.peer-absent"])


def test_before_drbd_was_asked_nothing_is_ready() -> None:
    assert verdict(world(silent=(Source.DRBD,)))[2] == ["source.new"]


def test_drbd_lost_is_said_and_linstor_has_to_do() -> None:
    made = report(world(lost={Source.DRBD: None}))
    assert made.ready(SUBJECT)
    assert [(f.code, f.grade) for f in made.about(ids.HOST)] == [("source.lost", Grade.UNKNOWN)]
    assert made.ready(ids.HOST)


# --- without DRBD ----------------------------------------------------------------------------


def plain(**more: Any) -> dict[str, Any]:
    """A volume of layers STORAGE only, on a loop device."""
    place = placement(
        N1,
        layers=("STORAGE",),
        promotion_score=None,
        may_promote=None,
        in_use=None,
        connections=(),
        volumes=(PlacedVolume(number=0, device_path="/dev/loop4"),),
    )
    loop = facts.device(path="/dev/loop4", rdev=(7, 4), backing_file=f"/srv/p/{RD}_00000.img")
    return {"placements": {RD: (edit(place, **more),)}, "devices": {str(VOL): loop}, "drbd": {}}


def test_without_drbd_report_and_device_are_enough() -> None:
    assert verdict(world(**plain())) == (True, Grade.OK, [])
    assert verdict(world(**plain(state_reported=False)))[2] == ["volume.not-reported"]


def test_without_drbd_nothing_is_ready_when_the_controller_is_gone() -> None:
    assert verdict(world(lost=LOST, **plain()))[2] == ["volume.not-known"]


# --- local truth -----------------------------------------------------------------------------


def test_on_local_truth_a_good_volume_is_ready_and_degraded() -> None:
    assert verdict(world(lost=LOST)) == (True, Grade.DEGRADED, ["volume.on-local-truth"])


def test_on_local_truth_a_peer_that_does_not_answer_is_gone_only_when_somebody_tried() -> None:
    link = facts.connection(state="Connecting")
    drbd = {RD: facts.drbd_resource(connections=(link,))}

    def tried(*said: Reach) -> Snapshot:
        return world(lost=LOST, drbd=drbd, network=facts.reach(N2, *said))

    assert "volume.peer-unknown" in verdict(world(lost=LOST, drbd=drbd))[2]
    assert "volume.peer-alive" in verdict(tried(Reach.SILENT, Reach.ANSWERS))[2]
    assert verdict(tried(Reach.SILENT, Reach.SILENT))[0]
    assert verdict(tried(Reach.SILENT, Reach.NO_WAY))[0]
    assert "volume.peer-unknown" in verdict(tried(Reach.NO_WAY))[2], "our own cable proves nothing"


def test_a_peer_whose_machine_answers_is_not_gone_because_its_satellite_is() -> None:
    link = facts.connection(state="Connecting")
    drbd = {RD: facts.drbd_resource(connections=(link,))}
    alive = facts.reach(N2, Reach.ANSWERS)
    ready, _, codes = verdict(world(drbd=drbd, nodes=facts.nodes(n2="OFFLINE"), network=alive))
    assert (ready, codes) == (False, ["volume.peer-alive"])


def test_on_local_truth_the_device_has_to_be_the_kernels() -> None:
    wrong = {str(VOL): facts.device(rdev=(147, 1))}
    assert "device.wrong" in verdict(world(lost=LOST, devices=wrong))[2]


def test_before_the_controller_was_asked_nothing_is_ready() -> None:
    snapshot = world(silent=(Source.LINSTOR,), wanted=facts.kept_map())
    assert verdict(snapshot)[2] == ["volume.not-known"]


# --- stale -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [Source.LINSTOR, Source.DEVICES])
def test_stale_is_unknown_and_never_ready(source: Source) -> None:
    assert verdict(world(stale=(source,))) == (False, Grade.UNKNOWN, ["source.stale"])


def test_when_all_is_stale_nothing_is_ready_and_nothing_is_forgotten() -> None:
    snapshot = world()
    made = report(edit(snapshot, at=snapshot.at + 31.0))
    kinds = {state.subject.kind for state in made.subjects.values()}
    assert {"volume", "pool", "instance"} <= kinds
    assert not any(state.ready for state in made.subjects.values())


# --- not placed here -------------------------------------------------------------------------


def test_not_placed_here_incus_gets_a_diskless_replica_if_the_data_are_good_elsewhere() -> None:
    """Incus deletes its diskless replica at every stop (facts/incus.md L56): it must not be waited for."""
    places = {RD: (placement(N2), placement(N3))}
    assert verdict(world(placements=places, drbd={}, devices={})) == (
        True,
        Grade.DEGRADED,
        ["volume.not-placed"],
    )


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (placement(N2, in_use=True), "volume.peer-primary"),
        (placement(N2, state_reported=False, promotion_score=None), "volume.not-known"),
        (placement(N2, layers=("STORAGE",)), "volume.elsewhere"),
    ],
)
def test_not_placed_here_and_not_to_be_had(place: Any, code: str) -> None:
    ready, _, codes = verdict(world(placements={RD: (place,)}, drbd={}, devices={}))
    assert not ready
    assert code in codes


# --- what was remembered, what is needed -----------------------------------------------------


def test_a_volume_made_anew_is_not_ready() -> None:
    empty = {str(VOL): facts.device(content="zero")}
    made = report(world(devices=empty, wanted=facts.kept_map()))
    assert not made.ready(SUBJECT)
    (finding,) = made.about(SUBJECT)
    assert finding.code == "device.empty"
    assert "thin" in finding.remedy


def test_a_resource_that_is_gone_is_said_so() -> None:
    snapshot = world(wanted=facts.kept_map(), definitions={}, placements={}, silent=(Source.INCUS,))
    assert verdict(snapshot)[2] == ["volume.gone"]


def test_trouble_is_waited_for_after_boot_and_after_a_connect_only() -> None:
    missing = {str(VOL): facts.device(opened=OpenResult.FAILED, errno="ENODATA")}

    def waits(**when: Any) -> bool:
        return report(world(devices=missing, **when)).about(SUBJECT)[0].waiting

    assert waits(at=200.0)
    assert waits(at=2000.0, since=1900.0)
    assert not waits(at=2000.0, since=60.0)


def test_a_needed_volume_that_is_not_in_linstor_stands_for_itself() -> None:
    needs = (NeededVolume(pool=facts.POOL, type="containers", name="c9"),)
    made = report(world(instances={str(C1): facts.instance(status="Stopped", needs=needs)}))
    (below, *_) = made.subjects[str(ids.instance(C1))].rests_on
    assert str(below) == "volume/incus-volume-c9/0"
    assert not made.ready(below)
    (finding,) = made.about(below)
    assert finding.code == "volume.not-found"
    assert "Aux/Incus/name=incus-volume-c9" in finding.expected
    assert {f.code for f in made.about(ids.instance(C1))} == {
        "instance.stopped",
        "instance.no-volume",
    }
