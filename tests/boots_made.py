# SPDX-License-Identifier: Apache-2.0
"""A boot made by hand, for tests of what people read: a satellite that was OFFLINE, one instance late, one lost, hostile text in a line."""

from tidegate.boot.model import (
    Attempt,
    BootAnalysis,
    Cause,
    Change,
    Comparison,
    Confidence,
    CriticalPath,
    Event,
    Evidence,
    InstanceStory,
    Kind,
    Link,
    Outcome,
    Phase,
    PoolStory,
    Shape,
    StartOrder,
    Status,
    Step,
)

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\x1b[2J&amp;"


def line(at: float, who: str, text: str) -> Evidence:
    return Evidence(
        at=at, wall=1.7e9 + at, who=who, text=text, source="boot.json", line=int(at) + 1
    )


OFFLINE = line(3.2, "incus.service", 'msg="Failed mounting storage pool" err="Node n1 is offline"')
CAUSE = Cause(
    key="satellite.late satellite",
    code="satellite.late",
    subject="satellite",
    confidence=Confidence.CERTAIN,
    sentence="the satellite was ready only 25.0 s after boot",
    remedy="order incus.service after it: tidegate units plan",
    begin=2.0,
    end=25.0,
    evidence=(OFFLINE, line(4.0, "satellite", HOSTILE)),
    not_seen=("no line says that the full sync was applied before 25.0 s",),
    alternatives=("controller.late",),
    tell="the controller's own log",
    first=True,
    effects=("pool.unavailable pool/remote", "instance/default/c2"),
)
EFFECT = Cause(
    key="pool.unavailable pool/remote",
    code="pool.unavailable",
    subject="pool/remote",
    confidence=Confidence.LIKELY,
    sentence="Incus could not mount the pool remote",
    remedy="",
    begin=3.2,
    end=61.0,
    evidence=(OFFLINE,),
)


def boot(**more: object) -> BootAnalysis:
    base: dict[str, object] = {
        "boot": "0123456789abcdef0123456789abcdef",
        "hostname": "n1",
        "kernel": "6.12.0",
        "source": "boot.json",
        "began": 1.7e9,
        "length": 600.0,
        "status": Status.DOWN,
        "verdict": "c2 stayed down, because the satellite was late",
        "causes": (CAUSE, EFFECT),
        "links": (
            Link(cause=CAUSE.key, effect=EFFECT.key, why="the pool was asked for meanwhile"),
        ),
        "phases": (
            Phase(name="kernel", title="kernel", subject="host", begin=0.0, end=1.5),
            Phase(
                name="satellite.jvm",
                title="start of the JVM",
                subject="satellite",
                begin=2.0,
                end=9.0,
                lane="satellite",
            ),
            Phase(
                name="incus.pools",
                title=HOSTILE,
                subject="incus",
                begin=3.0,
                end=None,
                lane="incus",
                ok=False,
            ),
        ),
        "events": (
            Event(kind=Kind.POOL_MOUNT_FAILED, subject="pool/remote", at=3.2, evidence=(OFFLINE,)),
        ),
        "order": (
            StartOrder(
                unit="incus.service",
                starting=2.5,
                active=3.4,
                result="active",
                needs=("satellite",),
                too_early_by=22.5,
            ),
        ),
        "pools": (
            PoolStory(
                subject="pool/remote",
                name="remote",
                outcome=Outcome.LATE,
                ready=61.0,
                attempts=(Attempt(at=3.2, error="Node n1 is offline", evidence=(OFFLINE,)),),
            ),
        ),
        "instances": (
            InstanceStory(
                subject="instance/default/c1",
                project="default",
                name="c1",
                outcome=Outcome.LATE,
                waiting_since=3.0,
                mount_begin=61.0,
                started=62.5,
            ),
            InstanceStory(
                subject="instance/default/c2",
                project="default",
                name="c2",
                outcome=Outcome.LOST,
                attempts=(Attempt(at=4.0, error=HOSTILE), Attempt(at=9.0, error="gone")),
            ),
        ),
        "path": CriticalPath(
            subject="instance/default/c1",
            end=62.5,
            sentence="c1 waited for its pool",
            steps=(
                Step(begin=0.0, end=3.0, subject="host", sentence="the machine came up"),
                Step(
                    begin=3.0,
                    end=62.5,
                    subject="pool/remote",
                    sentence="the pool was tried again after a minute",
                    gain=36.0,
                    advice="would have been 36 s earlier if Incus had waited",
                ),
            ),
        ),
        "shapes": (
            Shape(
                who="foo",
                shape="x",
                count=7,
                first=1.0,
                last=2.0,
                priority=4,
                sample=line(1.0, "foo", HOSTILE),
            ),
        ),
        "entries": 1234,
        "notes": ("the clock stepped by 3 s",),
    }
    return BootAnalysis(**(base | more))  # type: ignore[arg-type]


def comparison() -> Comparison:
    return Comparison(
        before="aaaa",
        after="bbbb",
        sentence="the second was 40 s slower",
        changes=(
            Change(name="last", title="last instance", before=22.5, after=62.5),
            Change(name="x", title="satellite ready", before=None, after=25.0),
        ),
        new_causes=(CAUSE,),
        new_shapes=(
            Shape(
                who="foo",
                shape="x",
                count=7,
                first=1.0,
                last=2.0,
                priority=4,
                sample=line(1.0, "foo", "new"),
            ),
        ),
    )
