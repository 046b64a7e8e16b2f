# SPDX-License-Identifier: Apache-2.0
"""A report: the chain below a subject, the worst of what is wanted, what is ready."""

from tidegate.core import ids
from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import PoolName, ResourceName, Subject, VolumeId
from tidegate.core.snapshot import Source

POOL = ids.pool(PoolName("remote"))
VOLUME = ids.volume(VolumeId(ResourceName("r"), 0))


def state(
    subject: Subject,
    *rests_on: Subject,
    grade: Grade = Grade.OK,
    ready: bool = True,
    wanted: bool = True,
) -> SubjectState:
    return SubjectState(subject=subject, grade=grade, ready=ready, rests_on=rests_on, wanted=wanted)


def report(*states: SubjectState, findings: tuple[Finding, ...] = ()) -> Report:
    subjects = {str(state.subject): state for state in states}
    return Report(at=1.0, node="n1", findings=findings, subjects=subjects)


def finding(code: str, grade: Grade, subject: Subject = VOLUME) -> Finding:
    return Finding(
        code=code,
        grade=grade,
        subject=subject,
        observed="",
        expected="",
        remedy="",
        source=Source.DRBD,
        age=0.0,
    )


def test_the_chain_goes_down_to_the_ground_each_once() -> None:
    made = report(
        state(ids.HOST),
        state(ids.CONTROLLER),
        state(ids.SATELLITE, ids.CONTROLLER, ids.HOST),
        state(VOLUME, ids.SATELLITE),
        state(POOL, ids.SATELLITE, VOLUME),
    )
    assert [str(step.subject) for step in made.chain(POOL)] == [
        "pool/remote",
        "satellite",
        "volume/r/0",
        "controller",
        "host",
    ]


def test_a_circle_or_an_unknown_subject_does_not_hang_the_chain() -> None:
    made = report(state(POOL, VOLUME, ids.INCUS), state(VOLUME, POOL))
    assert [str(step.subject) for step in made.chain(POOL)] == ["pool/remote", "volume/r/0"]
    assert list(made.chain(ids.INCUS)) == []


def test_the_grade_is_the_worst_of_what_is_wanted() -> None:
    bad = state(VOLUME, grade=Grade.FAILING, ready=False, wanted=False)
    assert report(state(ids.HOST), bad).grade is Grade.OK
    assert report(state(ids.HOST, grade=Grade.DEGRADED), bad).grade is Grade.DEGRADED
    assert report().grade is Grade.UNKNOWN


def test_grades_from_good_to_bad() -> None:
    order = sorted(Grade, key=lambda grade: grade.badness)
    assert order == [Grade.OK, Grade.DEGRADED, Grade.UNKNOWN, Grade.FAILING]


def test_findings_about_a_subject_worst_first() -> None:
    found = (
        finding("a", Grade.DEGRADED),
        finding("b", Grade.FAILING),
        finding("c", Grade.FAILING, POOL),
        finding("d", Grade.DEGRADED),
    )
    assert [one.code for one in report(findings=found).about(VOLUME)] == ["b", "a", "d"]


def test_what_is_not_known_is_not_ready() -> None:
    made = report(state(POOL), state(VOLUME, ready=False))
    assert made.ready(POOL)
    assert not made.ready(VOLUME)
    assert not made.ready(ids.INCUS)
