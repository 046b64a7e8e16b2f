# SPDX-License-Identifier: Apache-2.0
"""What incusd says (6.0.4 to 7.5.1; facts/incus.md section 6.2, messages and levels from ``cmd/incusd``).

Lines of logrus are taken apart first (``logrus``); the regexes see ``msg`` alone, and the context keys (err, pool, project, instance,
attempt …) become the event's data. Levels info and debug are absent by default (G3): nothing may depend on them.
"""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program


def _incus(
    kind: Kind | None,
    literal: str,
    sample: str,
    *,
    subject: str = "incus",
    regex: str = "",
    source: str = "facts/incus.md 6.2",
) -> Pattern:
    return Pattern(
        program=Program.INCUS,
        kind=kind,
        literal=literal,
        regex=regex,
        subject=subject,
        sample=sample,
        versions="6.0.4 to 7.5.1",
        source=source,
    )


_INSTANCE: Final = "instance/{project}/{instance}"

PATTERNS: Final = (
    _incus(
        Kind.INCUS_STARTING,
        "Starting up",
        'level=info msg="Starting up" mode=normal version=7.0.2',
        regex="^Starting up$",
    ),
    _incus(
        Kind.INCUS_DATABASE,
        "Initialized global database",
        'level=info msg="Initialized global database"',
    ),
    _incus(
        Kind.INCUS_WAITING_CLUSTER,
        "Wait for other cluster nodes",
        'level=warning msg="Wait for other cluster nodes to upgrade their versions, cluster not started yet"',
    ),
    _incus(
        Kind.INCUS_WAITING_CLUSTER,
        "Failed connecting to global database",
        'level=warning msg="Failed connecting to global database" attempt=6 err="failed to create cowsql connection: no available cowsql leader server found"',
        source="internal/server/db/cluster",
    ),
    _incus(
        Kind.INCUS_POOLS_BEGAN,
        "Initializing storage pools",
        'level=info msg="Initializing storage pools"',
    ),
    _incus(
        Kind.POOL_LOAD_FAILED,
        "Failed loading storage pool",
        'level=error msg="Failed loading storage pool" err="Could not determine DRBD module version: Module not loaded" pool=remote',
        subject="pool/{pool}",
    ),
    _incus(
        Kind.POOL_MOUNT_FAILED,
        "Failed mounting storage pool",
        'level=error msg="Failed mounting storage pool" err="Node n1 is offline" pool=remote',
        subject="pool/{pool}",
    ),
    _incus(
        Kind.POOL_READY,
        "Initialized storage pool",
        'level=info msg="Initialized storage pool" pool=remote',
        subject="pool/{pool}",
    ),
    _incus(
        Kind.INCUS_POOLS_DONE,
        "All storage pools initialized",
        'level=info msg="All storage pools initialized"',
    ),
    _incus(
        Kind.INCUS_FATAL,
        "Failed to start the daemon",
        'level=error msg="Failed to start the daemon" err="Failed to mount images storage"',
    ),
    _incus(
        Kind.INCUS_NETWORKS, "All networks initialized", 'level=info msg="All networks initialized"'
    ),
    _incus(
        Kind.INCUS_NETWORK_FAILED,
        "Failed initializing network",
        'level=error msg="Failed initializing network" err="no such device" network=br0 project=default',
        subject="incus",
    ),
    _incus(
        Kind.INSTANCE_DEVICE_FAILED,
        "Failed to register device",
        'level=error msg="Failed to register device" device=root err="Storage pool is unavailable on this server" instance=c1 project=default',
        subject=_INSTANCE,
    ),
    _incus(
        Kind.INSTANCE_ATTEMPT_FAILED,
        "Failed auto start instance attempt",
        'level=warning msg="Failed auto start instance attempt" attempt=1 err="open /dev/drbd1001: no such file or directory" instance=c1 maxAttempts=3 project=default',
        subject=_INSTANCE,
    ),
    _incus(
        Kind.INSTANCE_LOST,
        "Failed to auto start instance",
        'level=error msg="Failed to auto start instance" err="open /dev/drbd1001: no such file or directory" instance=c1 project=default',
        subject=_INSTANCE,
        regex="^Failed to auto start instance$",
    ),
    _incus(
        Kind.INSTANCE_STARTING,
        "Starting instance",
        'level=info msg="Starting instance" action=start instance=c1 instanceType=container project=default',
        subject=_INSTANCE,
        regex="^Starting instance$",
    ),
    _incus(
        Kind.INSTANCE_STARTED,
        "Started instance",
        'level=info msg="Started instance" action=start instance=c1 instanceType=container project=default',
        subject=_INSTANCE,
        regex="^Started instance$",
    ),
    _incus(
        Kind.INSTANCE_START_FAILED,
        "Failed starting instance",
        'level=error msg="Failed starting instance" action=start instance=c1 instanceType=container project=default',
        subject=_INSTANCE,
    ),
    _incus(
        Kind.INSTANCE_STOPPED,
        "S",
        'level=info msg="Stopped instance" action=stop instance=c1 project=default',
        subject=_INSTANCE,
        regex="^(?:Stopped|Shut down) instance$",
    ),
    _incus(Kind.INCUS_STARTED, "Daemon started", 'level=info msg="Daemon started"'),
    _incus(Kind.INCUS_STOPPED, "Daemon stopped", 'level=info msg="Daemon stopped"'),
    _incus(
        Kind.SHUTDOWN_BEGAN,
        "Starting shutdown sequence",
        'level=info msg="Starting shutdown sequence" signal=power',
        subject="incus",
    ),
    _incus(
        Kind.INCUS_PANIC,
        "panic: ",
        "panic: runtime error: index out of range [0] with length 0",
        regex=r"^panic: (?P<err>.*)",
        source="facts/incus.md G5",
    ),
    _incus(
        Kind.INCUS_PANIC,
        "fatal error: ",
        "fatal error: runtime: out of memory",
        regex=r"^fatal error: (?P<err>.*)",
        source="Go runtime",
    ),
    _incus(
        Kind.UNIT_TIMEOUT,
        "Daemon still not running after",
        'Error: Daemon still not running after 600s timeout (Get "http://unix.socket/internal/ready": EOF)',
        regex=r"after (?P<limit>\S+) timeout",
        subject="unit/incus.service",
        source="facts/incus.md U31",
    ),
    _incus(
        None,
        "instance types",
        'level=error msg="Failed updating instance types" err="no Internet"',
        source="facts/incus.md 6.2: noise",
    ),
    _incus(
        Kind.INCUS_SPOKE,
        "Instance type not operational",
        'level=warning msg="Instance type not operational" driver=qemu err="KVM support is missing (no /dev/kvm)" type=virtual-machine',
    ),
    _incus(
        None,
        " - ",
        'level=warning msg=" - AppArmor support has been disabled, Disabled because of lack of kernel support"',
        regex="^ - ",
    ),
    _incus(
        Kind.INCUS_SPOKE,
        "AppArmor support has been disabled",
        'level=warning msg="AppArmor support has been disabled because of lack of kernel support"',
    ),
    _incus(
        None,
        "Failed writing error for HTTP response",
        'level=error msg="Failed writing error for HTTP response" err="write unix /var/lib/incus/unix.socket->@: write: broken pipe" url=/1.0',
    ),
    _incus(
        None,
        "Error getting disk usage",
        'level=warning msg="Error getting disk usage" err="Storage pool is unavailable on this server" instance=c1 project=default',
    ),
)
"""In the order in which they are tried."""

DAEMON_BEGINS: Final = (
    'msg="Starting up"',
    'msg="AppArmor support has been disabled',
    'msg="Instance type not operational"',
)
"""Texts of the first lines of a daemon's start at any level: what separates starts in incusd.log (facts/incus.md G7, D1, D2)."""
