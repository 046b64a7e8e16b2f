# SPDX-License-Identifier: Apache-2.0
"""What is alive on one node, and what the controller knows of it only while it is connected."""

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """``connection_status`` values that the model sets (facts/linstor.md 3.1)."""

    OFFLINE = "OFFLINE"
    CONNECTED = "CONNECTED"
    ONLINE = "ONLINE"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    FULL_SYNC_FAILED = "FULL_SYNC_FAILED"
    AUTHENTICATION_ERROR = "AUTHENTICATION_ERROR"
    MISSING_EXT_TOOLS = "MISSING_EXT_TOOLS"
    OTHER_CONTROLLER = "OTHER_CONTROLLER"
    DUPLICATE_UNAME = "DUPLICATE_UNAME"


class Life(msgspec.Struct, kw_only=True):
    """One node at run time.

    Attributes:
        name: the node.
        drbd: DRBD's tools and module are installed.
        powered: the machine runs.
        started: its satellite process has come as far as opening its port (faults may still keep it from that).
        process: counts satellite processes; a connection never outlives one.
        status: the controller's view.
        link: counts connections: what was planned for an earlier one is void.
        reported: resources whose ``state`` came since the connection (3.5).
        run: counts runs of the device manager, as ``link`` does connections.
        running: a run is going on.
        run_over: the first run of this satellite process is over (READY=1 was sent).
        queue: resources that the run has still to do, in its order.
        failed: resources that could not be brought up, with the moment of the failure.
        spoilt: a resource failed in this run and holds back all others (A18).
        late: placements made while CONNECTED: in neither the full sync nor the first run (A4).
        attempt: a reconnect attempt is planned.
        losing: the loss of the connection is on its way to be noticed.
        sync_waits: the full sync would be over, but a fault holds it.
        cured_at: the moment of the last reconnect by hand.
        revived_at: the moment when its unit was started again after it had failed.
    """

    name: str
    drbd: bool = True
    powered: bool = True
    started: bool = False
    process: int = 0
    status: Status = Status.OFFLINE
    link: int = 0
    reported: set[str] = set()
    run: int = 0
    running: bool = False
    run_over: bool = False
    queue: list[str] = []
    failed: dict[str, float] = {}
    spoilt: bool = False
    late: list[str] = []
    attempt: bool = False
    losing: bool = False
    sync_waits: bool = False
    cured_at: float = -1.0
    revived_at: float = -1.0

    @property
    def connected(self) -> bool:
        """The controller holds an authenticated connection; pools count as reachable (3.2)."""
        return self.status in (
            Status.CONNECTED,
            Status.ONLINE,
            Status.FULL_SYNC_FAILED,
            Status.MISSING_EXT_TOOLS,
        )
