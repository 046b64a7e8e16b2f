# SPDX-License-Identifier: Apache-2.0
"""Every duration of the Incus model, in seconds: work, as measured in the recorded boots, and Incus's own waits."""

import math

import msgspec

# Fields that are waits written into Incus or its units; only these shrink in a demo.
_WAITS = (
    "pool_retry",
    "attempt_pause",
    "operation_kept",
    "waitready_poll",
    "waitready_limit",
    "stop_limit",
    "startup_limit",
    "callhook_limit",
    "keepalive",
)


class IncusTimings(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take in the model.

    The first group is work, from the recorded boots s0, s1, s4, s6 (data/incus-boots); the second are Incus's own waits.

    Attributes:
        socket_up: kernel start until incus.socket listens.
        startup_check: kernel start until incus-startup.service runs ``activateifneeded``.
        activate: ``activateifneeded`` until it connects.
        exec: incus.service begins to start until incusd says "Starting up".
        listeners: until the listeners serve (D4).
        database: until the storage pools' turn (D5-D7).
        dir_mount: mounting a pool that is not LINSTOR's.
        setup: end of the first pool pass until the API opens (D8-D13).
        instance_start: storage ready until the instance runs.
        instance_stop: stopping an instance.
        validate: ``recover/validate`` on one pool (observed: 105 ms).
        restart: systemd's RestartSec.
        recheck: how often a call that hangs without a known end looks again.
        pool_retry: pause between passes of the pool retry loop (D35).
        attempt_pause: pause between attempts of an autostart (A6).
        operation_kept: how long a finished operation can be read (R52).
        waitready_poll: pause between questions of ``incusd waitready`` (U31).
        waitready_limit: when it gives up (U42).
        stop_limit: TimeoutStopSec of incus.service.
        startup_limit: TimeoutStartSec of incus-startup.service (U14).
        callhook_limit: the stop hook of a container that failed late waits this long while incusd starts (A12).
        keepalive: pings on the event websocket (R73).
    """

    socket_up: float = 0.6
    startup_check: float = 1.4
    activate: float = 0.1
    exec: float = 0.1
    listeners: float = 0.19
    database: float = 0.04
    dir_mount: float = 0.008
    setup: float = 0.04
    instance_start: float = 0.25
    instance_stop: float = 0.2
    validate: float = 0.1
    restart: float = 0.1
    recheck: float = 0.25

    pool_retry: float = 60.0
    attempt_pause: float = 5.0
    operation_kept: float = 5.0
    waitready_poll: float = 0.5
    waitready_limit: float = 600.0
    stop_limit: float = 330.0
    startup_limit: float = 600.0
    callhook_limit: float = 30.0
    keepalive: float = 10.0

    def scaled(self, factor: float) -> "IncusTimings":
        """Return the same timings with Incus's own waits multiplied by ``factor`` (0.1: 60 s become 6 s); work stays.

        Raises:
            ValueError: ``factor`` is not a finite number above zero.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(
                f"factor is {factor}: waits can only be multiplied by a number above zero"
            )
        return msgspec.structs.replace(
            self, **{wait: getattr(self, wait) * factor for wait in _WAITS}
        )
