# SPDX-License-Identifier: Apache-2.0
"""Scenes of LINSTOR on this node: the satellite and its storage pools."""

from collections.abc import Callable
from typing import Any

import msgspec
from tests.health_facts import N1
from tests.scenes import RD, SATELLITE, Scene, Stage

from tidegate.clients.systemd.follow import THIN_POOLS
from tidegate.core.ids import PoolName, ResourceName, StoragePoolName, VolumeId
from tidegate.core.wanted import WantedInstance, WantedMap, WantedStorage, WantedVolume
from tidegate.sim.faults import Fault, FaultKind, Layout, Timings
from tidegate.sim.incus.values import instance_id

POOL = "storage-pool/thin"
OFFLINE = (Fault(kind=FaultKind.NODE_OFFLINE, subject="n1"),)
CONNECTED = (Fault(kind=FaultKind.NODE_CONNECTED, subject="n1"),)
SILENT = (Fault(kind=FaultKind.FALSE_ONLINE, subject="n1"),)
STARTED = (
    SATELLITE,
    "2026-11-23 07:29:00.000 [Main] INFO  LINSTOR/Satellite/ SYSTEM - Log directory set to: '/var/log/linstor-satellite'",
)
PORT = (
    SATELLITE,
    "2026-11-23 07:29:08.000 [Main] INFO  LINSTOR/Satellite/ SYSTEM - NetComService started on port /:::3366",
)
OUTDATED = (
    (SATELLITE, "2026-11-23 07:29:51.000 [MainWorkerPool-2] WARN  LINSTOR/Satellite/000022 SYSTEM - Ignored an incoming but outdated fullsync (6, expected: 7)"),
    (SATELLITE, "2026-11-23 07:29:51.001 [MainWorkerPool-2] INFO  LINSTOR/Satellite/000022 SYSTEM - FullSync successful 6"),
)  # fmt: skip
REPORT = (SATELLITE, "2026-11-23 07:29:52.000 [DeviceManager] ERROR LINSTOR/Satellite/ SYSTEM - External command failed [Report number 6B03F0B3-63795-000002]")  # fmt: skip
TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS = (
    TCP
    + "   0: 00000000:0D26 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n"
)


def status(word: str) -> tuple[Fault, ...]:
    return (Fault(kind=FaultKind.NODE_STATUS, subject="n1", status=word),)


class Word(str):
    """A status that the model does not know, as it holds one."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


def says(word: str) -> Callable[[Stage], None]:
    def change(stage: Stage) -> None:
        stage.world.lives["n1"].status = Word(word)

    return change


def flagged(flag: str) -> Callable[[Stage], None]:
    return lambda stage: stage.world.store.data.nodes["n1"].flags.append(flag)


def unit(state: str, sub: str, result: str = "success", restarts: int = 0, **more: Any) -> Any:
    told = {
        "ActiveState": ("s", state),
        "SubState": ("s", sub),
        "Result": ("s", result),
        "NRestarts": ("u", restarts),
    }
    return {SATELLITE: told | more}


def listening(stage: Stage) -> None:
    stage.put("proc/net/tcp", LISTENS)


def slow_command(stage: Stage) -> None:
    """A zfs that the satellite started and that does not end (facts/linstor.md 8.2)."""
    stage.put(f"sys/fs/cgroup/system.slice/{SATELLITE}/cgroup.procs", "77\n")
    began = int(stage.now() * 100)
    stage.put("proc/77/stat", f"77 (zfs) D {' '.join(['0'] * 18)} {began} 0 0\n")
    stage.put("proc/77/cmdline", "zfs\0list\0-r\0tank")


def layout(**pool: Any) -> Callable[[Layout], Layout]:
    """The storage pool of this node is another one."""

    def changed(found: Layout) -> Layout:
        pools = tuple(
            msgspec.structs.replace(one, **pool) if one.node == "n1" else one for one in found.pools
        )
        return msgspec.structs.replace(found, pools=pools)

    return changed


def without_drbd(found: Layout) -> Layout:
    nodes = tuple(msgspec.structs.replace(one, drbd=one.name != "n1") for one in found.nodes)
    return msgspec.structs.replace(found, nodes=nodes)


def without_pool(stage: Stage) -> None:
    data = stage.world.store.data
    data.pools = [pool for pool in data.pools if (pool.name, pool.node) != ("thin", "n1")]


def all_tools(stage: Stage) -> None:
    for name in ("drbdadm", "drbdsetup", "lvm", "thin_check", "losetup", "zfs"):
        stage.put(f"usr/sbin/{name}")


def on_root(stage: Stage) -> None:
    stage.put("proc/1/mountinfo", "25 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n")
    (stage.root / "srv/lin/p").mkdir(parents=True)


def zfs_without_pool(stage: Stage) -> None:
    (stage.root / "proc/spl/kstat/zfs").mkdir(parents=True)


def kept(**more: Any) -> WantedMap:
    volume = VolumeId(ResourceName(RD), 0)
    base: dict[str, Any] = {
        "node": N1,
        "volumes": (WantedVolume(id=volume, pool=PoolName("remote"), content="ext4"),),
        "instances": (
            WantedInstance(id=instance_id("c1"), volumes=(volume,), pools=(PoolName("remote"),)),
        ),
    }
    return WantedMap(**(base | more))


def two_volumes(found: Layout) -> Layout:
    (one,) = found.resources
    return msgspec.structs.replace(
        found, resources=(one, msgspec.structs.replace(one, name=f"{RD}-too", minor=1009))
    )


_VOLUMES = tuple(VolumeId(ResourceName(name), 0) for name in (RD, f"{RD}-too"))
BOTH = kept(
    volumes=tuple(WantedVolume(id=one, pool=PoolName("remote")) for one in _VOLUMES),
    instances=(
        WantedInstance(id=instance_id("c1"), volumes=_VOLUMES, pools=(PoolName("remote"),)),
    ),
)
MOUNTED = kept(
    storage=(
        WantedStorage(pool=StoragePoolName("thin"), provider="FILE_THIN", place="/srv/lin/p", mount="/srv/lin", device="/dev/sdb1"),
    )
)  # fmt: skip
FILES = {"kind": "FILE_THIN", "backing": "/srv/lin/p"}

SCENES = [
    # --- satellite -------------------------------------------------------------------------------
    Scene(code="satellite.not-known", about="satellite", seen="no controller says how node n1 is", remedy="controller", faults=(Fault(kind=FaultKind.CONTROLLER_REFUSES),)),
    Scene(code="satellite.offline", about="satellite", seen="OFFLINE for", remedy="linstor node reconnect n1", faults=OFFLINE, units={}),
    Scene(code="satellite.offline", about="satellite", seen="port open, the controller's next round is waited for, 20 s at most", remedy="linstor node reconnect n1", faults=OFFLINE, hurt=listening, units={}, journal=(STARTED, PORT)),
    Scene(code="satellite.connected", about="satellite", seen="full sync going on", remedy="Wait", faults=CONNECTED),
    Scene(code="satellite.unknown-node", about="satellite", seen="LINSTOR has no node n9", remedy="storage.linstor.satellite.name", node_name="n9"),
    Scene(code="satellite.not-installed", about="satellite", seen="not-found", remedy="Install the package", faults=OFFLINE, units={SATELLITE: {"LoadState": ("s", "not-found"), "ActiveState": ("s", "inactive"), "SubState": ("s", "dead")}}),
    Scene(code="satellite.unit-failed", about="satellite", seen="failed (exit-code)", remedy="systemctl reset-failed", faults=OFFLINE, units=unit("failed", "failed", "exit-code")),
    Scene(code="satellite.unit-inactive", about="satellite", seen="is inactive", remedy="systemctl start linstor-satellite.service", faults=OFFLINE, units=unit("inactive", "dead")),
    Scene(code="satellite.start-timeout", about="satellite", seen="failed (timeout)", remedy="TimeoutStartSec=infinity", faults=OFFLINE, units=unit("failed", "failed", "timeout")),
    Scene(code="satellite.start-limit", about="satellite", seen="failed (start-limit-hit)", remedy="reset-failed", faults=OFFLINE, units=unit("failed", "failed", "start-limit-hit")),
    Scene(code="satellite.restarting", about="satellite", seen="4 times so far", remedy="journalctl", faults=OFFLINE, units=unit("activating", "auto-restart", "exit-code", 4)),
    Scene(code="satellite.not-contacted", about="satellite", seen="port open", remedy="linstor node reconnect n1", faults=OFFLINE, hurt=listening, units={}, journal=(STARTED, PORT), lasts=40.0),
    Scene(code="satellite.sync-slow", about="satellite", seen="it waits for `zfs list -r tank`", remedy="", faults=CONNECTED, hurt=slow_command, lasts=90.0),
    Scene(code="satellite.first-run", about="satellite", seen="0 of 1 wanted resources reported", remedy="Wait", faults=SILENT),
    Scene(code="satellite.first-run", about="satellite", seen="1 of 2 wanted resources reported", remedy="Wait", layout=two_volumes, storage=Timings(per_device=600.0), wanted=BOTH, is_incus_elsewhere=True, uptime=20.0, lasts=5.0),
    Scene(code="satellite.error-reports", about="satellite", seen="1 since it started, the last: External command failed", remedy="linstor error-reports list", faults=SILENT, units={}, journal=(STARTED, REPORT)),
    Scene(code="satellite.false-online", about="satellite", seen="its journal says that it ignored an outdated full sync", remedy="linstor node reconnect n1", faults=SILENT, units={}, journal=OUTDATED, lasts=150.0),
    Scene(code="satellite.evicted", about="satellite", seen="is evicted", remedy="linstor node restore n1", hurt=flagged("EVICTED")),
    Scene(code="satellite.evacuating", about="satellite", seen="is being evacuated", remedy="linstor node restore n1", hurt=flagged("EVACUATE")),
    Scene(code="satellite.version-mismatch", about="satellite", seen="VERSION_MISMATCH", remedy="Upgrade the older one", faults=status("VERSION_MISMATCH")),
    Scene(code="satellite.full-sync-failed", about="satellite", seen="FULL_SYNC_FAILED", remedy="linstor error-reports list", faults=status("FULL_SYNC_FAILED")),
    Scene(code="satellite.authentication-error", about="satellite", seen="AUTHENTICATION_ERROR", remedy="certificates", faults=status("AUTHENTICATION_ERROR")),
    Scene(code="satellite.other-controller", about="satellite", seen="OTHER_CONTROLLER", remedy="only one controller", faults=status("OTHER_CONTROLLER")),
    Scene(code="satellite.missing-ext-tools", about="satellite", seen="MISSING_EXT_TOOLS", remedy="modinfo drbd", faults=(Fault(kind=FaultKind.MODULE_LATE, installed=False),)),
    Scene(code="satellite.duplicate-uname", about="satellite", seen="DUPLICATE_UNAME", remedy="uname -n", faults=status("DUPLICATE_UNAME")),
    Scene(code="satellite.hostname-mismatch", about="satellite", seen="HOSTNAME_MISMATCH", remedy="uname -n", hurt=says("HOSTNAME_MISMATCH")),
    Scene(code="satellite.no-interface", about="satellite", seen="NO_STLT_CONN", remedy="interface create n1", hurt=says("NO_STLT_CONN")),
    Scene(code="satellite.other-status", about="satellite", seen="SOMETHING_OF_TOMORROW for", remedy="linstor node list", hurt=says("SOMETHING_OF_TOMORROW")),
    Scene(code="satellite.no-drbd", about="satellite", seen="layers of n1:", remedy="modprobe drbd", runs=True, then=lambda stage: setattr(stage.world.lives["n1"], "drbd", False)),
    Scene(code="satellite.no-provider", about="satellite", seen="ZFS_THIN is not among what n1 can do", remedy="linstor node reconnect n1", layout=layout(kind="ZFS_THIN", backing="tank"), hurt=all_tools),
    # --- storage pools ---------------------------------------------------------------------------
    Scene(code="storage-pool.not-known", about=POOL, seen="no answer of this node's satellite", remedy="", then=lambda stage: stage.world.add_fault(OFFLINE[0])),
    Scene(code="storage-pool.missing", about=POOL, seen="n1 has no storage pool thin", remedy="", hurt=without_pool),
    Scene(code="storage-pool.error", about=POOL, seen="Thin pool 'vg0/thin' does not exist", remedy="", faults=(Fault(kind=FaultKind.POOL_MISSING, subject="thin"),)),
    Scene(code="storage-pool.no-capacity", about=POOL, seen="zero capacity shown", remedy="", layout=layout(total_kib=0)),
    Scene(code="storage-pool.full", about=POOL, seen="no free space", remedy="Extend the storage pool", layout=layout(free_kib=0)),
    Scene(code="storage-pool.nearly-full", about=POOL, seen="1.0% of", remedy="metadata_percent", layout=layout(free_kib=62_914)),
    Scene(code="storage-pool.nearly-full", about=POOL, seen="its metadata were 85% full", remedy="metadata_percent", units={}, journal=((THIN_POOLS, "WARNING: Thin pool vg0-thin-tpool metadata is now 85.12% full."),)),
    Scene(code="storage-pool.directory-missing", about=POOL, seen="/srv/lin/p does not exist", remedy="Do not start the satellite before it is there", layout=layout(**FILES)),
    Scene(code="storage-pool.mount-missing", about=POOL, seen="at the last good moment it lay on /srv/lin (/dev/sdb1)", remedy="mount /srv/lin", layout=layout(**FILES), hurt=on_root, wanted=MOUNTED),
    Scene(code="storage-pool.zpool-missing", about=POOL, seen="zpool tank is not imported here", remedy="zpool import tank", layout=layout(kind="ZFS_THIN", backing="tank"), hurt=zfs_without_pool),
    Scene(code="storage-pool.no-volume-seen", about=POOL, seen="no volume of group vg0 is active here", remedy="vgs vg0", layout=layout(kind="LVM", backing="vg0", total_kib=0)),
]  # fmt: skip
