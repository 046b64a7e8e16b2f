# SPDX-License-Identifier: Apache-2.0
"""The numbers and choices that decisions use. Seconds, unless a name says otherwise."""

import enum
from typing import Annotated

import msgspec

from tidegate.core.backoff import BackoffPolicy


class PeerAlivePolicy(enum.StrEnum):
    """What to do with a volume without quorum whose peer lives but is not connected (contract.md safety 1)."""

    WAIT = "wait"
    """Keep it waiting, with a finding that names the link and the command. The default: speed never beats data."""
    USE = "use"
    """Treat it, after the peer wait, as if the peer were gone. For people who know that it cannot have newer data."""


class FailPolicy(enum.StrEnum):
    """What the end of the gate's patience means (contract.md, safety 9)."""

    OPEN = "fail-open"
    """Give up, and let happen what was held back: later trouble is smaller than a machine that does not come up."""
    CLOSED = "fail-closed"
    """Wait on for as long as it takes; only a shutdown ends it."""


class HealthPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How findings are made of facts."""

    peer_wait: float = 30.0
    """How long after a device came up its absent peer is waited for, where DRBD has no quorum (contract.md safety 1)."""
    peer_alive: PeerAlivePolicy = PeerAlivePolicy.WAIT
    """With a volume without quorum whose peer lives but is not connected: wait for it, or, after the peer wait, use it."""
    standalone_grace: float = 15.0
    """StandAlone shorter than this is the normal way up (contract.md safety 1)."""
    stale_after: float = 30.0
    """A fact older than this is not believed: its subject is ``unknown``."""
    wait_grace: float = 300.0
    """ENOENT and ENODATA on a device mean "wait" for this long after the boot or the satellite's last connect."""
    false_online_after: float = 120.0
    """ONLINE without a report on any resource of the node is not believed after this long (facts/linstor-observed.md A1)."""
    slow_after: float = 2.0
    """A controller that takes longer than this to answer is called slow."""


class RecoveryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How recovery acts."""

    enabled: bool = True
    """False: observe, judge and tell, act on nothing."""
    parallel_starts: int = 4
    """So many instances are started at once, to begin with; the number then follows what storage and host can take."""
    most_parallel_starts: int = 16
    """Never more than so many at once, however quick they are; as ``parallel_starts`` or below: the number stays as it is."""
    backoff: BackoffPolicy = BackoffPolicy()
    instance_attempts: int = 5
    """Failures of an instance's own (not of the infrastructure) after which it is given up, with a finding."""
    start_incus_after: float = 60.0
    """Seconds after boot from which on incusd is started if something is wanted and nothing else started it."""
    wake_controller: bool = True
    """Have the controller dial a satellite that listens and is still OFFLINE: at most three times per boot, 10 s apart."""
    cure_false_online: bool = True
    """Reconnect a satellite that is ONLINE and, by its own log, never applied its full sync: once per boot."""
    start_satellite: bool = True
    """Start the satellite's unit again when it failed: LINSTOR's own unit never does. At most five times in an hour."""
    cure_full_sync: bool = False
    """Reconnect the satellite after a failed full sync, or when a tool that was missing came later: twice an hour, 5 min apart."""
    restart_incus: bool = False
    """Restart ``incus.service`` where a pool cannot be mounted in a weaker way: running instances stay; twice per boot, 15 min apart."""


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the gate holds Incus back at boot (contract.md, safety 9)."""

    limit: float = 300.0
    """Seconds after which Incus is let go although not everything is ready."""
    cap: float = 540.0
    """What ``limit`` is cut to. Raise it only together with ``TimeoutStartSec=`` of ``incus-startup.service``, which is 600 s and
    counts this time (facts/incus.md U14)."""
    policy: FailPolicy = FailPolicy.OPEN
    """At the limit: let Incus go, or hold it until all is ready or a shutdown begins."""
    hopeless_after: float = 10.0
    """Trouble that only a person can cure is not waited for once it has lasted so long without a break; never with fail-closed."""


class GuardPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the guard between Incus and the LINSTOR controller may do (contract.md, safety 3 to 6)."""

    bar_limit: Annotated[float, msgspec.Meta(ge=0, le=120)] = 120.0
    """Seconds per boot for which "ONLINE" is answered with "not ready" while volumes are not; 0: never."""
    hold: Annotated[float, msgspec.Meta(ge=0, le=60)] = 8.0
    """Seconds for which a call for a volume that is not ready is held; it occupies one of Incus's workers meanwhile."""
    local_truth: bool = False
    """With no controller to be asked, answer what Incus needs to mount a pool and start an instance by the kernel's word: DRBD only."""


class BringupPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices first: DRBD brought up before the satellite (``tidegate devices up``); only if its unit is enabled."""

    directory: str = "/var/lib/linstor.d"
    """Where LINSTOR keeps its .res files."""
    everything: bool = False
    """Take all resources that LINSTOR left here, not only those that something which starts here needs."""
    limit: float = 20.0
    """Seconds for which the satellite is held at most; what is not up by then is gone on with beside its start."""
    end: float = 180.0
    """Seconds after which the rest is left to LINSTOR, should the satellite still not run."""
    parallel: int = 4
    """Resources that are worked on at once."""
