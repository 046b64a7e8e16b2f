# SPDX-License-Identifier: Apache-2.0
"""Scenes of Incus: the daemon, its pools, its instances."""

import socket
from collections.abc import Callable
from typing import Any

import msgspec
from tests import embedded_nodes as nodes
from tests.contract.findings.storage import kept
from tests.scenes import INCUS, Scene, Stage

from tidegate.core.ids import PoolName
from tidegate.core.snapshot import Source
from tidegate.core.wanted import WantedPool
from tidegate.sim.embedded import PREFIX
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.values import ServerSpec

POOL, C1 = "pool/remote", "instance/default/c1"
OFFLINE = (Fault(kind=FaultKind.NODE_OFFLINE, subject="n1"),)
REFUSED_POOL = 'level=error msg="Failed loading storage pool" err="Could not determine DRBD module version: Module not loaded" pool=remote'


def unit(state: str, sub: str, result: str = "success", restarts: int = 0) -> Any:
    return {
        INCUS: {
            "ActiveState": ("s", state),
            "SubState": ("s", sub),
            "Result": ("s", result),
            "NRestarts": ("u", restarts),
        }
    }


def with_keys(**keys: str) -> Callable[[ServerSpec], ServerSpec]:
    named = {key.replace("__", "."): value for key, value in keys.items()}
    return lambda found: msgspec.structs.replace(found, config={**found.config, **named})


def pool_deleted(stage: Stage) -> None:
    world = stage.node.incus.world
    local = tuple(pool for pool in world.server.pools if pool.name != "remote")
    world.server = msgspec.structs.replace(world.server, pools=local)


ON_LINSTOR = kept(
    pools=(WantedPool(name=PoolName("remote"), resource_group="remote", volume_prefix=PREFIX),)
)


def on_network(found: ServerSpec) -> ServerSpec:
    (one,) = found.instances
    card = {"eth0": {"type": "nic", "network": "ovn0"}}
    return msgspec.structs.replace(found, instances=(msgspec.structs.replace(one, devices=card),))


def network_away(stage: Stage) -> None:
    nodes.stop(stage.node, "c1")
    stage.node.incus.world.warnings.upsert(
        "Network unavailable",
        "ovn0",
        "no uplink",
        entity_url="/1.0/networks/ovn0?project=default",
        project="default",
    )
    never_ran(stage)


def never_ran(stage: Stage) -> None:
    """It was not started in this boot."""
    record = next(iter(stage.node.incus.world.instances.values()))
    record.last_used_at = stage.node.incus.world.server.epoch - 5000.0
    record.power = "RUNNING"


def in_error(stage: Stage) -> None:
    next(iter(stage.node.incus.world.instances.values())).is_in_error = True


def stopped(stage: Stage) -> None:
    nodes.stop(stage.node, "c1")
    never_ran(stage)


def no_volume(stage: Stage) -> None:
    stage.world.store.data.definitions["incus-volume-c1"].props.clear()
    stopped(stage)


def errored(found: ServerSpec) -> ServerSpec:
    """Creating the pool failed on this member, and nobody took it away."""
    pools = tuple(
        msgspec.structs.replace(pool, status="Errored") if pool.is_remote else pool
        for pool in found.pools
    )
    return msgspec.structs.replace(found, pools=pools)


def left_behind(stage: Stage) -> None:
    """The socket's file is there, and nobody listens any more."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stage.directory / "nowhere"))


def nobody_asks(stage: Stage) -> None:
    stage.stopped.add(Source.INCUS)


SLOW = nodes.quick(instance_start=60.0)
HANGS = nodes.quick(listeners=60.0)

SCENES = [
    Scene(code="incus.stopped", about="incus", seen="incusd does not run", remedy="", units=unit("inactive", "dead"), wanted=kept()),
    Scene(code="incus.starting", about="incus", seen="incusd is starting and does not answer yet", remedy="", units=unit("activating", "start-post"), is_incus_elsewhere=True, hangs=True),
    Scene(code="incus.autostart", about="incus", seen="incusd is starting its instances", remedy="", incus=SLOW),
    Scene(code="incus.stopping", about="incus", seen="incusd is stopping", remedy="", units=unit("deactivating", "stop-sigterm")),
    Scene(code="incus.no-socket", about="incus", seen="nowhere", remedy="", units={}, is_incus_elsewhere=True),
    Scene(code="incus.timeout", about="incus", seen="", remedy="systemctl status incus.service", units={}, is_incus_elsewhere=True, hangs=True),
    Scene(code="incus.lost", about="incus", seen="nowhere", remedy="", units={}, is_incus_elsewhere=True, hurt=left_behind),
    Scene(code="source.new", about="incus", seen="Incus has not answered yet", remedy="Wait", hurt=nobody_asks, wanted=kept()),
    Scene(code="incus.evacuated", about="incus", seen="this member is Evacuated", remedy="incus cluster restore n1", spec=nodes.member("Evacuated")),
    Scene(code="incus.restarting", about="incus", seen="5 times again, last end: exit-code; it says: Error: Failed applying patch", remedy="journalctl", units=unit("activating", "auto-restart", "exit-code", 5), journal=((INCUS, "Error: Failed applying patch \"storage_x\": pool remote is unavailable"),)),
    Scene(code="incus.driver-not-loaded", about="incus", seen="its storage drivers are dir", remedy="host", faults=(Fault(kind=FaultKind.MODULE_LATE),), wanted=ON_LINSTOR),
    Scene(code="incus.fatal-volume", about="incus", seen="storage.images_volume is remote/images", remedy="incus config unset storage.images_volume", spec=with_keys(storage__images_volume="remote/images")),
    # --- pools -----------------------------------------------------------------------------------
    Scene(code="pool.not-known", about=POOL, seen="Incus cannot be asked about it yet", remedy="", units=unit("inactive", "dead"), wanted=kept()),
    Scene(code="pool.missing", about=POOL, seen="Incus has no pool remote", remedy="incus storage list", then=pool_deleted),
    Scene(code="pool.unavailable", about=POOL, seen="Unavailable", remedy="", faults=OFFLINE),
    Scene(code="pool.not-loaded", about=POOL, seen="Module not loaded", remedy="", faults=(Fault(kind=FaultKind.MODULE_LATE),)),
    Scene(code="pool.other-status", about=POOL, seen="status Errored", remedy="incus storage show remote", spec=errored),
    Scene(code="pool.never-mounted", about=POOL, seen="Created, and not mounted in this run of incusd: Could not determine", remedy="60 s", units={}, journal=((INCUS, REFUSED_POOL),)),
    Scene(code="pool.storage-gone", about=POOL, seen="Created, and the satellite is OFFLINE", remedy="the agent starts what is down", runs=True, then=lambda stage: stage.world.add_fault(OFFLINE[0])),
    # --- instances -------------------------------------------------------------------------------
    Scene(code="instance.not-known", about=C1, seen="Incus cannot be asked about it yet", remedy="", units=unit("inactive", "dead"), wanted=kept()),
    Scene(code="instance.stopped", about=C1, seen="stopped, and should run", remedy="incus start c1 --project default", faults=OFFLINE),
    Scene(code="instance.error", about=C1, seen="status Error, and should run", remedy="incus info c1", runs=True, then=in_error),
    Scene(code="instance.no-volume", about=C1, seen="LINSTOR has no resource for its volume c1", remedy="", faults=OFFLINE, then=lambda stage: stage.world.store.data.definitions["incus-volume-c1"].props.clear()),
    Scene(code="instance.given-up", about=C1, seen="Incus gave up on it:", remedy="incus start c1 --project default", faults=(Fault(kind=FaultKind.DEVICE_MISSING),)),
    Scene(code="instance.network-unavailable", about=C1, seen="its network ovn0 is unavailable: no uplink", remedy="incus network info ovn0", spec=on_network, faults=OFFLINE, is_ready=True, then=network_away),
]  # fmt: skip
