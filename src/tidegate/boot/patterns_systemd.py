# SPDX-License-Identifier: Apache-2.0
"""What systemd's manager says about units (252 to 258; man systemd.unit(5), src/core/job.c and unit.c; all seen where not said otherwise)."""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program

_UNIT: Final = r"(?P<unit>[\w@:.\\-]+\.(?:service|socket|target|mount|timer|path|device|swap|slice|scope|automount))"


def _unit(
    kind: Kind | None, literal: str, regex: str, sample: str, source: str = "seen"
) -> Pattern:
    return Pattern(
        program=Program.SYSTEMD,
        kind=kind,
        literal=literal,
        regex=regex,
        subject="unit/{unit}",
        sample=sample,
        source=source,
    )


PATTERNS: Final = (
    _unit(
        Kind.UNIT_STARTING,
        "Starting ",
        rf"^Starting {_UNIT}",
        "Starting incus.service - Incus - Main daemon...",
    ),
    _unit(
        Kind.UNIT_STARTED,
        "Started ",
        rf"^Started {_UNIT}",
        "Started linstor-satellite.service - LINSTOR Satellite Service.",
    ),
    _unit(
        Kind.UNIT_STARTED,
        "Finished ",
        rf"^Finished {_UNIT}",
        "Finished incus-startup.service - Incus - Startup check.",
    ),
    _unit(
        Kind.UNIT_STARTED,
        "Reached target ",
        rf"^Reached target {_UNIT}",
        "Reached target network-online.target - Network is Online.",
    ),
    _unit(
        Kind.UNIT_LISTENING,
        "Listening on ",
        rf"^Listening on {_UNIT}",
        "Listening on incus.socket - Incus - Daemon (unix socket).",
    ),
    _unit(
        Kind.UNIT_STARTED,
        "Mounted ",
        rf"^Mounted {_UNIT}",
        "Mounted srv-pool.mount - /srv/pool.",
    ),
    _unit(
        Kind.UNIT_DEPENDENCY,
        "Dependency failed for ",
        rf"^Dependency failed for {_UNIT}",
        "Dependency failed for incus.service - Incus - Main daemon.",
        "facts/incus.md G30",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed to start ",
        rf"^Failed to start {_UNIT}",
        "Failed to start linstor-satellite.service - LINSTOR Satellite Service.",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed to mount ",
        rf"^Failed to mount {_UNIT}",
        "Failed to mount srv-pool.mount - /srv/pool.",
        "src/core/mount.c",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed with result ",
        rf"{_UNIT}: Failed with result '(?P<result>[\w-]+)'",
        "linstor-satellite.service: Failed with result 'timeout'.",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed to queue service startup job",
        rf"{_UNIT}: (?P<err>Failed to queue service startup job.*)",
        "incus.socket: Failed to queue service startup job (Maybe the service file is missing or not a non-template unit?): Unit incus.service is masked.",
        "src/core/socket.c",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed to load environment files",
        rf"{_UNIT}: (?P<err>Failed to load environment files: .*)",
        "incus.service: Failed to load environment files: No such file or directory",
        "src/core/exec-invoke.c",
    ),
    _unit(
        Kind.UNIT_FAILED,
        "Failed to listen on sockets",
        rf"{_UNIT}: (?P<err>Failed to listen on sockets: .*)",
        "incus.socket: Failed to listen on sockets: Address already in use",
        "src/core/socket.c",
    ),
    _unit(
        Kind.UNIT_TIMEOUT,
        "operation timed out",
        rf"{_UNIT}: (?P<phase>start|start-pre|start-post|activation|mount|Mounting)[\w ]* operation timed out",
        "linstor-satellite.service: start operation timed out. Terminating.",
    ),
    _unit(
        Kind.UNIT_TIMEOUT,
        "timed out",
        rf"Job {_UNIT}/(?P<phase>start) timed out",
        "Job dev-vg0-data.device/start timed out.",
        "src/core/job.c",
    ),
    _unit(
        Kind.UNIT_TIMEOUT,
        "Timed out waiting for device ",
        rf"^Timed out waiting for device {_UNIT}",
        "Timed out waiting for device dev-mapper-mpatha.device - /dev/mapper/mpatha.",
        "src/core/device.c",
    ),
    _unit(
        Kind.UNIT_STOP_TIMEOUT,
        "timed out. Killing",
        rf"{_UNIT}: State '(?P<state>[\w-]+)' timed out. Killing",
        "incus.service: State 'stop-sigterm' timed out. Killing.",
        "facts/incus.md G30",
    ),
    _unit(
        Kind.UNIT_EXITED,
        " process exited, code=",
        rf"{_UNIT}: (?P<which>Main|Control) process exited, code=(?P<code>\w+), status=(?P<status>\S+)",
        "linstor-satellite.service: Main process exited, code=killed, status=9/KILL",
    ),
    _unit(
        Kind.UNIT_EXITED,
        "Sent signal ",
        rf"{_UNIT}: Sent signal (?P<signal>SIG\w+) to main process (?P<pid>\d+) \((?P<name>[^)]*)\) on client request",
        "linstor-satellite.service: Sent signal SIGKILL to main process 308 (java) on client request.",
    ),
    _unit(
        Kind.OOM_KILL,
        "killed by the OOM killer",
        rf"{_UNIT}: A process of this unit has been killed by the OOM killer",
        "linstor-satellite.service: A process of this unit has been killed by the OOM killer.",
        "src/core/unit.c",
    ),
    _unit(
        Kind.UNIT_WATCHDOG,
        "Watchdog timeout",
        rf"{_UNIT}: Watchdog timeout",
        "tidegate-guard.service: Watchdog timeout (limit 5s)!",
        "src/core/service.c",
    ),
    _unit(
        Kind.UNIT_RESTART,
        "Scheduled restart job",
        rf"{_UNIT}: Scheduled restart job(?:, restart counter is at (?P<counter>\d+))?",
        "incus.service: Scheduled restart job, restart counter is at 1.",
        "facts/incus.md G30",
    ),
    _unit(
        Kind.UNIT_START_LIMIT,
        "request repeated too quickly",
        rf"{_UNIT}: Start request repeated too quickly",
        "incus.service: Start request repeated too quickly.",
        "src/core/unit.c",
    ),
    _unit(
        Kind.UNIT_START_LIMIT,
        "Trigger limit hit",
        rf"{_UNIT}: Trigger limit hit",
        "incus.socket: Trigger limit hit, refusing further activation.",
        "facts/incus.md U12",
    ),
    _unit(
        Kind.UNIT_JOB_DELETED,
        "to break ordering cycle",
        rf"Job {_UNIT}/(?P<job>\w+) deleted to break ordering cycle(?: starting with (?P<start>\S+)/\w+)?",
        "linstor-satellite.service: Job incus.service/start deleted to break ordering cycle starting with linstor-satellite.service/start",
        "src/core/transaction.c",
    ),
    _unit(
        Kind.UNIT_CYCLE,
        "rdering cycle",
        rf"{_UNIT}: .*ordering cycle",
        "incus.service: Found ordering cycle on linstor-satellite.service/start",
        "src/core/transaction.c",
    ),
    _unit(
        Kind.UNIT_SKIPPED,
        " skipped",
        rf"{_UNIT}(?: - .*)? (?:was )?skipped(?:,| because)",
        "systemd-firstboot.service - First Boot Wizard skipped, unmet condition check ConditionFirstBoot=yes",
    ),
    _unit(
        Kind.UNIT_STOPPED,
        "Stopped ",
        rf"^Stopped (?:target )?{_UNIT}",
        "Stopped linstor-satellite.service - LINSTOR Satellite Service.",
    ),
    _unit(
        Kind.UNIT_STOPPING,
        "Stopping ",
        rf"^Stopping {_UNIT}",
        "Stopping incus.service - Incus - Main daemon...",
    ),
    _unit(
        Kind.UNIT_STOPPED,
        "Deactivated successfully",
        rf"{_UNIT}: Deactivated successfully",
        "mnt-odd.mount: Deactivated successfully.",
    ),
    Pattern(
        program=Program.SYSTEMD,
        kind=Kind.STARTUP_FINISHED,
        literal="Startup finished in ",
        sample="Startup finished in 49.680s (kernel) + 3min 37.688s (userspace) = 4min 27.369s.",
    ),
    Pattern(
        program=Program.SYSTEMD,
        kind=Kind.CLOCK_STEP,
        literal="System time advanced",
        sample="System time advanced to timestamp on /var/lib/systemd/timesync/clock: Tue 2026-11-24 01:43:12 UTC",
        source="src/core/main.c",
    ),
    Pattern(
        program=Program.SYSTEMD,
        kind=Kind.SHUTDOWN_BEGAN,
        literal="Shutting down",
        regex=r"^Shutting down\.",
        sample="Shutting down.",
        source="src/core/main.c",
    ),
)
"""In the order in which they are tried."""

SHUTDOWN_TARGETS: Final = frozenset(
    {"shutdown.target", "reboot.target", "poweroff.target", "halt.target", "kexec.target"}
)

DESCRIPTIONS: Final = {
    "Incus - Main daemon": "incus.service",
    "Incus - Startup check": "incus-startup.service",
    "Incus - Daemon (unix socket)": "incus.socket",
    "LINSTOR Satellite Service": "linstor-satellite.service",
    "LINSTOR Controller Service": "linstor-controller.service",
    "FUSE filesystem for LXC": "lxcfs.service",
    "Network is Online": "network-online.target",
    "Load Kernel Modules": "systemd-modules-load.service",
}
"""Units by description, for systemd before 249 and ``StatusUnitFormat=description``, where a text export does not name the unit."""
