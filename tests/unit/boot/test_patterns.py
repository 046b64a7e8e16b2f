"""Every pattern of the catalogue knows its own sample, and no other pattern takes it away."""

import pytest

from tidegate.boot import catalogue
from tidegate.boot.pattern import Match, Pattern, Program


def look(program: Program, message: str) -> Match | None:
    return (
        catalogue.anywhere(message)
        if program is Program.ANY
        else catalogue.classify(program, message)
    )


@pytest.mark.parametrize("pattern", catalogue.ALL, ids=lambda p: f"{p.program}:{p.sample[:60]}")
def test_a_pattern_knows_its_sample(pattern: Pattern) -> None:
    found = look(pattern.program, pattern.sample)

    assert found is not None
    assert found.pattern is pattern
    assert "{" not in found.subject
    assert pattern.literal in pattern.sample
    assert pattern.source


@pytest.mark.parametrize(
    ("program", "message", "subject", "data"),
    [
        (
            Program.SYSTEMD,
            "linstor-satellite.service: Failed with result 'timeout'.",
            "unit/linstor-satellite.service",
            {"result": "timeout"},
        ),
        (
            Program.KERNEL,
            "drbd a/0 drbd1000 n2: pdsk( UpToDate -> DUnknown ) repl( Established -> Off )",
            None,
            {},
        ),
        (
            Program.KERNEL,
            "drbd r0/3 drbd1007: disk( Attaching -> UpToDate ) quorum( no -> yes ) [attach]",
            "resource/r0",
            {"to": "UpToDate", "device": "drbd1007"},
        ),
        (
            Program.KERNEL,
            "drbd odd/0 drbd1001 n2: Split-Brain detected, manually solved. Sync from this node",
            None,
            {},
        ),
        (
            Program.INCUS,
            'time="2026-11-24T02:23:02Z" level=warning msg="Failed auto start instance attempt" attempt=2 err="open /dev/drbd1001: no such file or directory" instance=c1 maxAttempts=3 project=web',
            "instance/web/c1",
            {"attempt": "2", "err": "open /dev/drbd1001: no such file or directory"},
        ),
        (
            Program.INCUS,
            'time="x" level=error msg="Failed mounting storage pool" err="say \\"no\\"" pool="my pool"',
            "pool/my pool",
            {"err": 'say "no"'},
        ),
        (
            Program.LINSTOR,
            "2026-11-23 07:31:51.939 [MainWorkerPool-1] INFO  LINSTOR/Satellite/000001 SYSTEM - Checking support for DRBD9_KERNEL: supported (9.2.14)",
            "host",
            {"by": "satellite"},
        ),
    ],
)
def test_what_is_taken_out_of_a_line(
    program: Program, message: str, subject: str | None, data: dict[str, str]
) -> None:
    found = look(program, message)

    if subject is None:
        assert found is None or found.pattern.kind is None
        return
    assert found is not None
    assert found.subject == subject
    assert data.items() <= found.data.items()
