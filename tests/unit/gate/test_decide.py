# SPDX-License-Identifier: Apache-2.0
"""Pass, wait on, give up: with one sentence that names the cause, and the exit codes of contract.md."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import C1, N1, N2, RD, VOL, nodes, placement, world

from tidegate.config.policy import FailPolicy, HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import OpenResult
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.core.trouble import Trouble
from tidegate.gate.decide import Exit, Verdict, VerdictKind, decide, default_subjects
from tidegate.health.judge import judge

PASS, WAIT, GIVE_UP = VerdictKind.PASS, VerdictKind.WAIT, VerdictKind.GIVE_UP
VOLUME = ids.volume(VOL)
NO_DATA = {str(VOL): facts.device(opened=OpenResult.FAILED, errno="ENODATA")}


def report(**more: Any) -> Report:
    return judge(world(**({"at": 100.0} | more)), HealthPolicy())


def verdict(
    *subjects: Subject,
    waited: float = 5.0,
    limit: float = 300.0,
    policy: FailPolicy = FailPolicy.OPEN,
    **more: Any,
) -> Verdict:
    return decide(report(**more), subjects, waited=waited, limit=limit, policy=policy)


def lost(code: str) -> dict[str, Any]:
    trouble = Trouble(code=code, text="http://10.88.0.1:3370 does not answer")
    return {"lost": {Source.LINSTOR: trouble}}


def test_all_ready_passes() -> None:
    made = verdict()
    assert (made.kind, made.exit_code, made.grade) == (PASS, 0, Grade.OK)
    assert (made.ready, made.total) == (2, 2)
    assert made.waiting_for == ()


def test_by_default_it_is_about_the_satellite_and_every_wanted_volume() -> None:
    assert default_subjects(report()) == (ids.SATELLITE, VOLUME)
    off = {str(C1): facts.instance(status="Stopped", autostart="false")}
    assert default_subjects(report(instances=off)) == (ids.SATELLITE,)


def test_without_a_map_it_is_about_the_satellite_only() -> None:
    made = judge(facts.empty(1.0), HealthPolicy())
    assert default_subjects(made) == (ids.SATELLITE,)
    assert decide(made, waited=0.0, limit=9.0).kind is WAIT


def test_it_waits_and_says_what_for_and_since_when() -> None:
    made = verdict(devices=NO_DATA, waited=12.0)
    assert made.kind is WAIT
    (waiting,) = made.waiting_for
    assert (waiting.subject, waiting.since) == (VOLUME, 60.0)
    assert made.sentence.startswith(
        f"waits for 12 s, 1 of 2 ready: {VOLUME}: opening /dev/drbd1002"
    )


def test_the_first_cause_is_named_once() -> None:
    made = verdict(nodes=nodes(n1="OFFLINE"), devices=NO_DATA)
    assert [str(waiting.subject) for waiting in made.waiting_for] == ["satellite"]


def test_the_end_of_patience() -> None:
    made = verdict(devices=NO_DATA, waited=300.0)
    assert (made.kind, made.exit_code) == (GIVE_UP, Exit.TIME_OUT)
    assert made.sentence.startswith("gave up after 300 s, 1 of 2 ready: volume/")


def test_fail_closed_waits_for_as_long_as_it_takes() -> None:
    closed = FailPolicy.CLOSED
    assert verdict(devices=NO_DATA, waited=9999.0, policy=closed).kind is WAIT
    assert verdict(policy=closed, **lost("controller.tls")).kind is WAIT
    assert verdict(policy=closed).kind is PASS


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("controller.refused", WAIT, 0),
        ("controller.timeout", WAIT, 0),
        ("controller.tls", GIVE_UP, Exit.FAILING),
        ("controller.unauthorized", GIVE_UP, Exit.FAILING),
        ("controller.none-configured", GIVE_UP, Exit.FAILING),
    ],
)
def test_what_only_a_person_can_cure_is_not_waited_for(
    code: str, kind: VerdictKind, exit_code: int
) -> None:
    made = verdict(ids.SATELLITE, **lost(code))
    assert (made.kind, made.exit_code) == (kind, exit_code)
    assert "http://10.88.0.1:3370" in made.sentence


def test_it_waits_on_for_the_others_while_one_is_hopeless() -> None:
    empty = {str(VOL): facts.device(content="zero")}
    more: dict[str, Any] = {"devices": empty, "wanted": facts.kept_map()}
    assert verdict(**more).kind is GIVE_UP
    assert verdict(VOLUME, ids.INCUS, **more, silent=(Source.INCUS,)).kind is WAIT


def test_nothing_known_until_the_end_is_unknown() -> None:
    made = decide(judge(facts.empty(9.0, facts.kept_map()), HealthPolicy()), waited=9.0, limit=9.0)
    assert (made.kind, made.exit_code, made.grade) == (GIVE_UP, Exit.UNKNOWN, Grade.UNKNOWN)


def test_a_subject_that_nobody_knows_is_waited_for_and_unknown_at_last() -> None:
    nobody = Subject.parse("volume/nope/0")
    made = verdict(nobody)
    assert made.kind is WAIT
    assert "not known on n1" in made.sentence
    assert verdict(nobody, waited=300.0).exit_code == Exit.UNKNOWN


def test_what_is_gone_is_dropped_from_the_wait_unless_asked_for() -> None:
    """A resource that is gone, or no longer placed here (contract.md, safety 9)."""
    more: dict[str, Any] = {
        "silent": (Source.INCUS,),
        "wanted": facts.kept_map(),
        "definitions": {},
        "placements": {},
    }
    assert verdict(**more).kind is PASS
    assert verdict(VOLUME, **more).exit_code == Exit.FAILING
    elsewhere = {RD: (placement(N2, layers=("STORAGE",)),)}
    assert verdict(placements=elsewhere, drbd={}, devices={}).kind is PASS


def test_degraded_passes_with_a_remark() -> None:
    made = verdict(placements={RD: (placement(N1, skip_disk=True), placement(N2))})
    assert (made.kind, made.exit_code, made.grade) == (PASS, 0, Grade.DEGRADED)
    assert "SkipDisk" in made.sentence


def test_a_host_without_linstor_has_nothing_to_wait_for() -> None:
    made = verdict(off=(Source.LINSTOR,), instances={}, pools={})
    assert made.kind is PASS
    assert made.sentence.startswith("nothing to wait for on n1: no LINSTOR here")


def test_one_subject() -> None:
    assert verdict(ids.instance(C1)).sentence == "instance/default/c1 is ready"
    stopped = {str(C1): facts.instance(status="Stopped")}
    assert verdict(ids.instance(C1), instances=stopped).kind is WAIT


def test_many_causes_are_counted() -> None:
    subjects = tuple(Subject.parse(f"volume/none{number}/0") for number in range(7))
    made = verdict(*subjects)
    assert made.sentence.endswith(": volume/none0/0 and 6 more: not known on n1")
    assert len(made.waiting_for) == 7
