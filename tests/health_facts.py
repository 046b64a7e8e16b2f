# SPDX-License-Identifier: Apache-2.0
"""Snapshots for tests of health and gate: one healthy node with a container on a two-node LINSTOR, and ways to hurt it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.core import snapshot as snapshots
from tidegate.core.drbd import DrbdConnection, DrbdDevice, DrbdPeerDevice, DrbdResource
from tidegate.core.evidence import JournalFacts, NetworkFacts, PeerReach, Reach
from tidegate.core.facts import (
    ControllerFacts,
    DefinitionFacts,
    DeviceFacts,
    HostFacts,
    IncusFacts,
    IncusPhase,
    InstanceFacts,
    NeededVolume,
    NodeFacts,
    OpenResult,
    PlacedVolume,
    PlacementFacts,
    PoolFacts,
    StoragePoolFacts,
    UnitFacts,
)
from tidegate.core.ids import (
    BootId,
    InstanceId,
    InstanceName,
    NodeName,
    PoolName,
    ProjectName,
    ResourceName,
    StoragePoolName,
    UnitName,
    VolumeId,
)
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap, WantedPool, WantedVolume

N1, N2, N3 = NodeName("n1"), NodeName("n2"), NodeName("n3")
RD = ResourceName("incus-volume-c1c1")
VOL = VolumeId(RD, 0)
POOL = PoolName("remote")
THIN = StoragePoolName("thin")
GROUP = "rg1"
C1 = InstanceId(ProjectName("default"), InstanceName("c1"))
BOOT_WALL = 1_795_000_000.0
MINOR = 1002

edit = msgspec.structs.replace


def peer_device(disk: str = "UpToDate", **more: Any) -> DrbdPeerDevice:
    base: dict[str, Any] = {
        "number": 0,
        "disk": disk,
        "replication": "Established",
        "client": False,
    }
    return DrbdPeerDevice(**(base | more))


def connection(peer: NodeName = N2, state: str = "Connected", **more: Any) -> DrbdConnection:
    connected = state == "Connected"
    base: dict[str, Any] = {
        "peer": peer,
        "state": state,
        "role": "Secondary" if connected else "Unknown",
        "since": 50.0,
        "devices": (peer_device("UpToDate" if connected else "DUnknown"),),
    }
    return DrbdConnection(**(base | more))


def reach(peer: NodeName = N2, *said: Reach) -> NetworkFacts:
    """The network after ``said`` came of trying the addresses of ``peer``."""
    told = {f"10.0.{number}.2": one for number, one in enumerate(said)}
    return NetworkFacts(peers={peer: PeerReach(addresses=told)})


def drbd_device(disk: str = "UpToDate", **more: Any) -> DrbdDevice:
    base: dict[str, Any] = {
        "number": 0,
        "minor": MINOR,
        "disk": disk,
        "client": False,
        "quorum": True,
        "since": 40.0,
    }
    return DrbdDevice(**(base | more))


def drbd_resource(name: ResourceName = RD, **more: Any) -> DrbdResource:
    base: dict[str, Any] = {
        "name": name,
        "role": "Secondary",
        "suspended": "no",
        "may_promote": True,
        "promotion_score": 10102,
        "quorum_policy": "off",
        "devices": (drbd_device(),),
        "connections": (connection(),),
    }
    return DrbdResource(**(base | more))


def placement(node: NodeName = N1, resource: ResourceName = RD, **more: Any) -> PlacementFacts:
    base: dict[str, Any] = {
        "resource": resource,
        "node": node,
        "layers": ("DRBD", "STORAGE"),
        "storage_pool": THIN,
        "state_reported": True,
        "in_use": False,
        "promotion_score": 10102,
        "may_promote": True,
        "connections": ((N2 if node == N1 else N1, "Connected"),),
        "volumes": (PlacedVolume(number=0, device_path=f"/dev/drbd{MINOR}", minor=MINOR),),
    }
    return PlacementFacts(**(base | more))


def device(**more: Any) -> DeviceFacts:
    base: dict[str, Any] = {
        "path": f"/dev/drbd{MINOR}",
        "exists": True,
        "is_device": True,
        "rdev": (147, MINOR),
        "opened": OpenResult.OPENED,
        "content": "ext4",
        "size": 1 << 30,
    }
    return DeviceFacts(**(base | more))


def node(name: NodeName, status: str = "ONLINE", **more: Any) -> NodeFacts:
    base: dict[str, Any] = {
        "name": name,
        "connection_status": status,
        "resource_layers": ("DRBD", "STORAGE"),
    }
    return NodeFacts(**(base | more))


def nodes(**status: str) -> dict[str, NodeFacts]:
    words = {"n1": "ONLINE", "n2": "ONLINE"} | status
    return {name: node(NodeName(name), word) for name, word in words.items()}


def instance(**more: Any) -> InstanceFacts:
    base: dict[str, Any] = {
        "id": C1,
        "kind": "container",
        "status": "Running",
        "location": "none",
        "autostart": "true",
        "last_power": "RUNNING",
        "needs": (NeededVolume(pool=POOL, type="containers", name="c1"),),
    }
    return InstanceFacts(**(base | more))


def kept_map(**more: Any) -> WantedMap:
    base: dict[str, Any] = {
        "node": N1,
        "pools": (WantedPool(name=POOL, resource_group=GROUP, volume_prefix="incus-volume-"),),
        "volumes": (WantedVolume(id=VOL, pool=POOL, content="ext4"),),
        "instances": (WantedInstance(id=C1, volumes=(VOL,), pools=(POOL,)),),
    }
    return WantedMap(**(base | more))


def unit(name: str = "linstor-satellite.service", state: str = "active", **more: Any) -> UnitFacts:
    base: dict[str, Any] = {
        "name": UnitName(name),
        "load_state": "loaded",
        "active_state": state,
        "sub_state": "running",
    }
    return UnitFacts(**(base | more))


def healthy_sections() -> dict[Source, dict[str, Any]]:
    """What each source says while all is well."""
    return {
        Source.HOST: {"host": HostFacts(drbd_module="9.3.3", satellite_present=True)},
        Source.SYSTEMD: {"units": {"linstor-satellite.service": unit()}},
        Source.LINSTOR: {
            "controller": ControllerFacts(
                url="http://10.88.0.1:3370",
                version="1.34.0",
                rest_api_version="1.28.0",
                latency=0.012,
            ),
            "nodes": nodes(),
            "storage_pools": {
                THIN: StoragePoolFacts(
                    name=THIN, node=N1, provider="LVM_THIN", free_kib=900, total_kib=1000
                )
            },
            "definitions": {
                RD: DefinitionFacts(
                    name=RD,
                    resource_group=GROUP,
                    aux_name="incus-volume-c1",
                    aux_type="containers",
                    aux_content="filesystem",
                )
            },
            "placements": {RD: (placement(N1), placement(N2))},
        },
        Source.DRBD: {"drbd": {RD: drbd_resource()}},
        Source.DEVICES: {"devices": {str(VOL): device()}},
        Source.INCUS: {
            "incus": IncusFacts(
                phase=IncusPhase.READY, version="7.0.2", server_name="n1", clustered=False
            ),
            "pools": {
                POOL: PoolFacts(name=POOL, driver="linstor", status="Created", resource_group=GROUP)
            },
            "instances": {str(C1): instance()},
            "warnings": (),
        },
        Source.NETWORK: {"network": NetworkFacts()},
        Source.JOURNAL: {"journal": JournalFacts()},
    }


def empty(at: float = 0.0, wanted: WantedMap | None = None) -> Snapshot:
    return Snapshot(at=at, boot_id=BootId("boot"), boot_wall=BOOT_WALL, node=N1, wanted=wanted)


def world(
    at: float = 1000.0,
    *,
    since: float = 60.0,
    wanted: WantedMap | None = None,
    lost: Mapping[Source, Trouble | None] | None = None,
    off: tuple[Source, ...] = (),
    silent: tuple[Source, ...] = (),
    stale: tuple[Source, ...] = (),
    **sections: Any,
) -> Snapshot:
    """A healthy node at ``at``, everything as it is since ``since``, except what ``sections`` say.

    ``lost`` sources answered until ``since`` and do not any more; ``off`` ones are not there; ``silent`` ones were never heard of,
    ``stale`` ones have said nothing since ``since``.
    """
    told = healthy_sections()
    for parts in told.values():
        parts.update({name: sections.pop(name) for name in list(sections) if name in parts})
    assert not sections, f"not a section: {sections}"
    snapshot = empty(wanted=wanted)
    for source, parts in told.items():
        if source in silent:
            continue
        if source in off:
            snapshot = snapshots.apply(
                snapshot, Observation(source=source, at=at, liveness=Liveness.OFF)
            )
            continue
        snapshot = snapshots.apply(snapshot, Observation(source=source, at=since, **parts))
        if lost is not None and source in lost:
            gone = Observation(source=source, at=at, liveness=Liveness.LOST, trouble=lost[source])
            snapshot = snapshots.apply(snapshot, gone)
        elif source not in stale:
            snapshot = snapshots.apply(snapshot, Observation(source=source, at=at, **parts))
    return edit(snapshot, at=at)
