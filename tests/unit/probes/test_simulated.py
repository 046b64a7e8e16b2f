# SPDX-License-Identifier: Apache-2.0
"""All probes against the simulator's node over real sockets, programs and files, while its storage comes late."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.clients import clock
from tidegate.clients.devices.client import DeviceClient
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.core import snapshot as snapshots
from tidegate.core.facts import IncusPhase, OpenResult
from tidegate.core.ids import BootId, NodeName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes import base, devices, drbd, host, incus, linstor
from tidegate.sim import embedded, faults, race
from tidegate.sim.incus.timings import IncusTimings

NODE = NodeName("n1")
NAMES = ("c1", "c2")
VOLUMES = [VolumeId(ResourceName(f"{embedded.PREFIX}{name}"), 0) for name in NAMES]
KEYS = {str(volume) for volume in VOLUMES}


class Host:
    """What an agent would know of the node, look by look."""

    def __init__(self, probes: tuple[base.Probe, ...]) -> None:
        self.probes = probes
        self.known = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=0.0, node=NODE)

    async def look(self) -> Snapshot:
        need = base.Need.of(self.known, VOLUMES)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(probe.look(need)) for probe in self.probes]
        for task in tasks:
            self.known = snapshots.apply(self.known, task.result())
        return self.known


@pytest.fixture
async def seen(tmp_path: Path) -> AsyncIterator[Host]:
    scenario = faults.Scenario(
        name="late",
        layout=embedded.layout(NAMES),
        faults=(faults.Fault(kind=faults.FaultKind.NODE_OFFLINE, end=0.5),),
        timings=race.scaled(faults.TYPICAL),
        seed=1,
    )
    server = embedded.server(NAMES, (), epoch=clock.wall())
    node = embedded.EmbeddedNode(tmp_path, scenario, server, IncusTimings().scaled(0.1))
    now = clock.boottime
    async with (
        node.running(),
        IncusClient(node.incus_socket) as incus_client,
        DeviceClient(node.root) as device_client,
    ):
        linstor_client = LinstorClient(Endpoints(urls=(node.linstor_face.url,)))
        drbd_client = DrbdClient(
            drbdsetup=str(tmp_path / "bin/drbdsetup"),
            module_file=node.root / "sys/module/drbd/version",
        )
        yield Host(
            (
                host.HostProbe(root=node.root, satellite_port=3366, clock=now),
                linstor.LinstorProbe(linstor_client, node=NODE, clock=now),
                drbd.DrbdProbe(drbd_client, clock=now),
                devices.DevicesProbe(device_client, clock=now),
                incus.IncusProbe(incus_client, unit=None, clock=now),
            )
        )
        await linstor_client.aclose()


def is_storage_there(known: Snapshot) -> bool:
    return {
        key for key, fact in known.devices.items() if fact.value.opened is OpenResult.OPENED
    } == KEYS


async def test_storage_that_comes_late_is_seen_by_every_source(seen: Host) -> None:
    first = await seen.look()
    assert first.nodes is not None
    assert first.nodes.value[NODE].connection_status == "OFFLINE"
    assert not is_storage_there(first)
    known = first
    async with asyncio.timeout(20):
        while not is_storage_there(known) or known.pools is None:
            known = await seen.look()
    live = {
        source: known.source(source).liveness
        for source in Source
        if source is not Source.SYSTEMD and not source.is_optional
    }
    assert set(live.values()) == {Liveness.UP}
    assert known.host is not None
    assert known.host.value.drbd_module
    assert known.host.value.satellite_present
    assert known.nodes is not None
    assert known.nodes.value[NODE].connection_status == "ONLINE"
    assert known.definitions is not None
    assert {fact.aux_type for fact in known.definitions.value.values()} == {"containers"}
    assert known.drbd is not None
    for volume in VOLUMES:
        (here,) = [p for p in known.placements[volume.resource].value if p.node == NODE]
        device = known.drbd.value[volume.resource].devices[0]
        assert here.volumes[0].minor == device.minor
        assert known.devices[str(volume)].value.path == f"/dev/drbd{device.minor}"
    assert known.incus is not None
    assert known.incus.value.phase in {IncusPhase.AUTOSTART, IncusPhase.READY}
    assert known.pools.value["remote"].resource_group == "remote"
    assert known.instances is not None
    (need,) = known.instances.value["default/c1"].needs
    assert (need.pool, need.type, need.name) == ("remote", "containers", "c1")
