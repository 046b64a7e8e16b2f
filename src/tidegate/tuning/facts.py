# SPDX-License-Identifier: Apache-2.0
"""What advice is made from. Seconds unless said otherwise; what could not be found out is None or missing, and then nothing is advised."""

import statistics
from collections.abc import Mapping

import msgspec


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded boot: when it began (seconds since the epoch), and how long its phases took, by name."""

    began: float
    phases: Mapping[str, float] = {}


class Java(msgspec.Struct, frozen=True, kw_only=True):
    """The JVM that runs the satellite, and which of the flags that were tried it accepts."""

    program: str
    version: str
    accepts: frozenset[str] = frozenset()


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """A read-only command, run here some times. ``at``: when, seconds since the epoch."""

    command: str
    seconds: tuple[float, ...]
    at: float
    lines: int = 0
    """Lines of its answer."""

    @property
    def median(self) -> float:
        """The middle of its runs."""
        return statistics.median(self.seconds)


class UnitWait(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that the satellite's start waits for, and how long it took to become active in this boot."""

    unit: str
    seconds: float


class Autostart(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that starts at boot, and the seconds Incus waits after it."""

    name: str
    delay: float = 0.0


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one host.

    Attributes:
        boots: the recorded boots, the oldest first.
        cpus: processors.
        java: the satellite's JVM; None: not found.
        java_options: what ``JAVA_OPTS`` of the satellite's unit says now.
        java_options_file: the file that sets it, which wins over the unit; "" when none does.
        resources: DRBD resources that LINSTOR keeps here.
        timings: by name: ``lvs``, ``lvs-filtered``, ``zfs-list``.
        not_timed: why nothing was timed; "" when it was.
        scanned: block devices that LVM looks at for nothing, by kind: drbd, zvol, loop.
        waits: units that the satellite's start waited for.
        own: seconds that our own units took in this boot, by unit.
        autostart: instances that Incus starts, in its order.
        devices_first: ``tidegate-devices.service`` is enabled.
        wakes: recovery wakes the controller.
        applied: advice that was applied.
    """

    boots: tuple[Boot, ...] = ()
    cpus: int = 1
    java: Java | None = None
    java_options: str = ""
    java_options_file: str = ""
    resources: int = 0
    timings: Mapping[str, Timing] = {}
    not_timed: str = ""
    scanned: Mapping[str, int] = {}
    waits: tuple[UnitWait, ...] = ()
    own: Mapping[str, float] = {}
    autostart: tuple[Autostart, ...] = ()
    devices_first: bool = False
    wakes: bool = True
    applied: frozenset[str] = frozenset()

    def phase(self, name: str) -> tuple[float, int] | None:
        """Return the median of a phase over the recorded boots, and over how many; None without any."""
        found = [boot.phases[name] for boot in self.boots if name in boot.phases]
        return (statistics.median(found), len(found)) if found else None
