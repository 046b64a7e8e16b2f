# SPDX-License-Identifier: Apache-2.0
"""What Tidegate itself says. Its lines carry ``TIDEGATE_EVENT``, ``_CODE``, ``_SUBJECT``, ``_CAUSE``; text exports lose them, so the texts count too."""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program

_SUBJECT: Final = r"^(?P<subject>(?:host|controller|satellite|incus|(?:storage-pool|pool|volume|instance)/\S+?))(?: and \d+ more)?: "


def _own(
    kind: Kind | None, literal: str, sample: str, *, regex: str = "", subject: str = "host"
) -> Pattern:
    return Pattern(
        program=Program.TIDEGATE,
        kind=kind,
        literal=literal,
        regex=regex,
        subject=subject,
        sample=sample,
        source="agent/gatekeeper.py, agent/recorder.py",
    )


PATTERNS: Final = (
    _own(
        Kind.GATE_WAITING,
        "holds Incus: ",
        "holds Incus: satellite: node n1 is OFFLINE",
        regex=r"^holds Incus: (?P<sentence>.*)",
    ),
    _own(
        Kind.GATE_OPENED,
        "Incus may start after ",
        "Incus may start after 12.3 s: everything wanted is ready",
        regex=r"after (?P<seconds>[\d.]+) s: (?P<sentence>.*)",
    ),
    _own(
        Kind.GATE_TIMED_OUT,
        "Incus is let go after ",
        "Incus is let go after 300.0 s: satellite: node n1 is OFFLINE",
        regex=r"after (?P<seconds>[\d.]+) s: (?P<sentence>.*)",
    ),
    _own(
        Kind.GUARD_HELD,
        "answered with not ready: ",
        "pool mount answered with not ready: waits for 0 s, 1 of 4 ready: volume/r0/0: LINSTOR gives no device path",
        regex=r"answered with not ready: (?P<sentence>.*)",
        subject="satellite",
    ),
    _own(
        Kind.GUARD_HELD,
        "volumes of ",
        "volumes of r0 held: the controller gives an empty list of volumes",
        regex=r"^volumes of (?P<resource>\S+) (?:held|refused after [\d.]+ s): (?P<sentence>.*)",
        subject="volume/{resource}/0",
    ),
    _own(
        Kind.GUARD_PASSED,
        " goes on after ",
        "volumes of r0 goes on after 1.2 s",
        regex=r"^volumes of (?P<resource>\S+) goes on after ",
        subject="volume/{resource}/0",
    ),
    _own(
        Kind.ACTION_DONE,
        " s)",
        "instance/default/c3: started (0.29 s)",
        regex=_SUBJECT + r"(?P<text>.*) \((?P<seconds>[\d.]+) s\)$",
        subject="{subject}",
    ),
    _own(
        Kind.FINDING_OVER,
        ": over: ",
        "controller: over: no answer, for 42 s",
        regex=_SUBJECT + r"over: (?P<text>.*)",
        subject="{subject}",
    ),
    _own(
        Kind.FINDING,
        ": ",
        "controller: http://10.99.0.1:3370/v1/controller/version: no connection within 3 s, for 0 s",
        regex=_SUBJECT + r"(?P<text>.*)",
        subject="{subject}",
    ),
    _own(
        Kind.ALL_RUN,
        "nothing to do: all ",
        "nothing to do: all 4 wanted instances run",
        regex=r"^nothing to do: all (?P<number>\d+) wanted instances run",
    ),
    _own(
        Kind.AGENT_WAITS,
        " wait",
        "pool/remote, default/c1, default/c2 and 1 more wait for satellite: OFFLINE (unit active, port closed)",
        regex=r"^(?P<who>\S.*?) waits? for (?P<sentence>(?:host|controller|satellite|storage-pool|volume)\b.*)",
    ),
    _own(None, "", "still busy with default/c3"),
)
"""In the order in which they are tried."""
