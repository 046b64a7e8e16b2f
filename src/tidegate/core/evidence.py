# SPDX-License-Identifier: Apache-2.0
"""What this host shows by itself about its storage and its peers: evidence beside what LINSTOR, DRBD and Incus say.

Facts as in :mod:`tidegate.core.facts`: only what was seen, never what it is worth.
"""

import enum
from collections.abc import Mapping

import msgspec

from tidegate.core.ids import NodeName


class CommandFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A program that the satellite has started and waits for."""

    command: str
    """Its command line, cut short."""
    since: float
    """Seconds since boot at which it was started."""


class ClockJump(msgspec.Struct, frozen=True, kw_only=True):
    """The wall clock was set by more than a moment, seen by comparing it with the time since boot."""

    seconds: float
    """Forward is positive."""
    at: float
    """Seconds since boot at which it was noticed."""


class BackingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What lies behind a storage pool of LINSTOR, as this host sees it."""

    place: str
    """The directory, volume group or zpool."""
    present: bool | None
    """It is there; None where that cannot be seen without a program (a volume group without active volumes)."""
    mount: str | None = None
    """For a directory: the mount point it lies on."""
    device: str | None = None
    """For a directory: what is mounted there."""


class Reach(enum.StrEnum):
    """What became of a try to speak to an address of a peer."""

    ANSWERS = "answers"
    """Something came back, if only a refusal: the machine lives."""
    SILENT = "silent"
    """Nothing came back, and this host's own side of the network is in order."""
    NO_WAY = "no-way"
    """This host cannot even send: no address, no carrier, no route."""


class PortAnswer(enum.StrEnum):
    """What a TCP port of a peer that lives says."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"


class PeerReach(msgspec.Struct, frozen=True, kw_only=True):
    """How a peer can be reached from here."""

    addresses: Mapping[str, Reach] = {}
    ports: Mapping[str, PortAnswer] = {}
    """``ADDRESS:PORT`` of its DRBD -> what it said; only asked of a peer that lives and stays unconnected."""

    @property
    def reachable(self) -> bool | None:
        """Whether its machine lives: with the controller gone this alone tells a dead peer from a broken link (contract.md safety 1).

        False only if no address answers and at least one was tried properly: a broken network of our own proves nothing.
        """
        told = set(self.addresses.values())
        if Reach.ANSWERS in told:
            return True
        return False if Reach.SILENT in told else None


class NetworkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The network that DRBD needs, as seen from here."""

    local: Mapping[str, bool] = {}
    """Addresses of this host that DRBD is set to use -> whether the host has them now."""
    peers: Mapping[NodeName, PeerReach] = {}
    """Peers that are not connected, by their name in LINSTOR."""


class SatelliteLog(msgspec.Struct, frozen=True, kw_only=True):
    """What the satellite's own lines in the journal say of its present run (facts/linstor.md 9.2). Moments in seconds since boot."""

    started_at: float | None = None
    port_at: float | None = None
    """Its port was opened."""
    authenticated_at: float | None = None
    """A controller connected and was accepted, for the last time."""
    synced_at: float | None = None
    """The last full sync was applied."""
    outdated_at: float | None = None
    """A full sync came too late and was ignored (facts/linstor-observed.md A1)."""
    waiting: bool = False
    """The device manager's last line is that it waits for its service-condition: it does not run."""
    run_began_at: float | None = None
    run_ended_at: float | None = None
    """Begin and end of a run of the device manager."""
    locked: tuple[str, ...] = ()
    """Encrypted resources that it skipped for want of the passphrase."""
    reports: int = 0
    """Error reports written in this run."""
    last_report: str = ""
    """The line with the last of them."""


class Filling(msgspec.Struct, frozen=True, kw_only=True):
    """How full the metadata of a thin pool were, as LVM's monitor said it."""

    percent: float
    at: float
    """Seconds since boot."""


class JournalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal of this boot tells. Lines are evidence beside facts, never instead of them."""

    satellite: SatelliteLog = SatelliteLog()
    assertion: str | None = None
    """The kernel's line about DRBD after which nothing of it can be relied on: a failed assertion, an oops, a task that hangs."""
    assertion_at: float | None = None
    unloaded_pools: Mapping[str, str] = {}
    """Pools of Incus that its daemon could not load in its present run, and did not load since -> why."""
    incus_error: str = ""
    """The line with which incusd ended itself, if it did."""
    thin_metadata: Mapping[str, Filling] = {}
    """Thin pools, by their name for the device mapper (``vg0-thin``), whose metadata LVM's monitor called nearly full. LINSTOR tells
    of the data alone."""
