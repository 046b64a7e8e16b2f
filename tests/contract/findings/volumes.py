# SPDX-License-Identifier: Apache-2.0
"""Scenes of a volume and its device."""

import errno
from collections.abc import Callable
from typing import Any

import msgspec
from tests.contract.findings.ground import mute_kernel
from tests.contract.findings.storage import kept
from tests.scenes import RD, VOLUME, Scene, Stage

from tidegate.core.ids import PoolName, ResourceName, VolumeId
from tidegate.core.snapshot import Source
from tidegate.core.wanted import WantedVolume
from tidegate.sim import drbd
from tidegate.sim.faults import Fault, FaultKind, Layout, NodeSpec, PoolSpec, Timings
from tidegate.sim.incus.values import ServerSpec

AWAY = (Fault(kind=FaultKind.PEER_AWAY, subject="n2"),)
ALIVE = (Fault(kind=FaultKind.PEER_AWAY, subject="n2", alive=True),)


def without_autostart(found: ServerSpec) -> ServerSpec:
    (one,) = found.instances
    config = {"boot.autostart": "false"}
    return msgspec.structs.replace(found, instances=(msgspec.structs.replace(one, config=config),))


LEFT_ALONE: dict[str, Any] = {
    "spec": without_autostart,
    "is_incus_elsewhere": True,
    "wanted": kept(),
}
"""Nobody has started the instance yet; that it is wanted the kept map says."""


def fault(kind: FaultKind, **more: Any) -> tuple[Fault, ...]:
    return (Fault(kind=kind, **more),)


def later(kind: FaultKind, **more: Any) -> Callable[[Stage], None]:
    """The fault comes when all has been seen to be well."""
    return lambda stage: stage.world.add_fault(Fault(kind=kind, start=stage.node.now(), **more))


def disk(state: drbd.Disk, *, on: str = "n1", alone: bool = True) -> Callable[[Stage], None]:
    """The disk is in that state; ``alone``: and so no data can be had from the peer."""

    def change(stage: Stage) -> None:
        if alone and on == "n1":
            stage.world.add_fault(Fault(kind=FaultKind.PEER_AWAY, subject="n2", alive=True))
        stage.change(lambda resource: setattr(resource.volumes[0], "disk", state), on=on)

    return change


def resource(**more: Any) -> Callable[[Layout], Layout]:
    def changed(found: Layout) -> Layout:
        (one,) = found.resources
        return msgspec.structs.replace(found, resources=(msgspec.structs.replace(one, **more),))

    return changed


def three(found: Layout) -> Layout:
    """LINSTOR's layout of three nodes: the third breaks ties, and a majority is asked for."""
    (one,) = found.resources
    return msgspec.structs.replace(
        found,
        nodes=(*found.nodes, NodeSpec(name="n3", address="10.99.0.13")),
        pools=(*found.pools, PoolSpec(name="thin", node="n3")),
        resources=(msgspec.structs.replace(one, diskless=("n3",)),),
    )


def twice(found: Layout) -> Layout:
    (one,) = found.resources
    other = msgspec.structs.replace(one, name=f"{RD}-copy", minor=1009)
    return msgspec.structs.replace(found, resources=(one, other))


def nameless(stage: Stage) -> None:
    stage.world.store.data.definitions[RD].props.clear()


def flagged(flag: str) -> Callable[[Stage], None]:
    return lambda stage: stage.placement().flags.append(flag)


def skip_disk(stage: Stage) -> None:
    """As LINSTOR leaves it after an I/O error (facts/fullstack-observed.md): diskless from the next boot on."""
    stage.placement().props["DrbdOptions/SkipDisk"] = "True"
    stage.change(lambda found: setattr(found.volumes[0], "disk", drbd.Disk.DISKLESS))


def wrong_path(stage: Stage) -> None:
    stage.placement().volumes[0].device_path = "/dev/drbd7"


def gone_from_drbd(stage: Stage) -> None:
    stage.now()
    del stage.world.drbd["n1"].resources[RD]
    stage.world.replication.refresh(RD)


def forgotten(stage: Stage) -> None:
    """A resource that is up from the files of before, and that neither LINSTOR nor a file knows any more."""
    stage.put("etc/drbd.d/global_common.conf", "global { usage-count no; }\n")
    (stage.root / "var/lib/linstor.d").mkdir(parents=True)
    volume = drbd.Volume(number=0, minor=1099, size_kib=4096, disk=drbd.Disk.UP_TO_DATE)
    stage.world.drbd["n1"].resources["ghost"] = drbd.Resource(
        name="ghost", node_id=0, volumes={0: volume}
    )


def nobody_looks(stage: Stage) -> None:
    stage.stopped.add(Source.DEVICES)
    stage.snapshot = msgspec.structs.replace(stage.snapshot, devices={})


def held(content: str) -> Any:
    volume = VolumeId(ResourceName(RD), 0)
    return kept(volumes=(WantedVolume(id=volume, pool=PoolName("remote"), content=content),))


def block(found: Layout) -> Layout:
    """A disk of a virtual machine: its user may put on it what he likes."""
    (one,) = found.resources
    props = one.props | {"Aux/Incus/content-type": "block"}
    return msgspec.structs.replace(found, resources=(msgspec.structs.replace(one, props=props),))


UNKNOWN_WANTED = kept(volumes=(WantedVolume(id=VolumeId(ResourceName("gone"), 0), pool=PoolName("remote")),), instances=(msgspec.structs.replace(kept().instances[0], volumes=(VolumeId(ResourceName("gone"), 0),)),))  # fmt: skip

SCENES = [
    Scene(code="volume.not-known", about=VOLUME, seen="no controller can be asked, and the kernel does not know it", remedy="", faults=fault(FaultKind.CONTROLLER_REFUSES), hurt=mute_kernel, wanted=kept(), is_incus_elsewhere=True),
    Scene(code="volume.not-found", about=VOLUME, seen="LINSTOR has no resource for containers/c1 of pool remote", remedy="", hurt=nameless),
    Scene(code="volume.ambiguous", about=VOLUME, seen="several resources", remedy="", layout=twice),
    Scene(code="volume.gone", about="volume/gone/0", seen="LINSTOR has no resource gone", remedy="", wanted=UNKNOWN_WANTED, is_incus_elsewhere=True),
    Scene(code="volume.not-placed", about=VOLUME, seen="no replica on n1", remedy="", layout=resource(nodes=("n2",)), **LEFT_ALONE),
    Scene(code="volume.elsewhere", about=VOLUME, seen="without DRBD, and only on n2", remedy="", layout=resource(nodes=("n2",), layers=("STORAGE",)), **LEFT_ALONE),
    Scene(code="volume.inactive", about=VOLUME, seen="deactivated on this node", remedy="", hurt=flagged("INACTIVE")),
    Scene(code="volume.not-reported", about=VOLUME, seen="the satellite has not reported it", remedy="", then=later(FaultKind.NODE_OFFLINE, subject="n1")),
    Scene(code="volume.path-missing", about=VOLUME, seen="LINSTOR gives no device path", remedy="", faults=fault(FaultKind.DEVICE_PATH_MISSING)),
    Scene(code="volume.on-local-truth", about=VOLUME, seen="no controller confirms it", remedy="", then=later(FaultKind.CONTROLLER_REFUSES)),
    Scene(code="volume.passphrase-missing", about=VOLUME, seen="it is encrypted, and the master passphrase was not entered", remedy="enter-passphrase", layout=resource(layers=("DRBD", "LUKS", "STORAGE")), faults=fault(FaultKind.STORAGE_LOCKED)),
    Scene(code="volume.down", about=VOLUME, seen="DRBD in the kernel does not have it", remedy="", then=gone_from_drbd),
    Scene(code="volume.attaching", about=VOLUME, seen="the local disk is Attaching", remedy="", hurt=disk(drbd.Disk.ATTACHING)),
    Scene(code="volume.diskless", about=VOLUME, seen="the local disk is Diskless; data over n2", remedy="", hurt=disk(drbd.Disk.DISKLESS, alone=False)),
    Scene(code="volume.skip-disk", about=VOLUME, seen="DrbdOptions/SkipDisk is set", remedy="SkipDisk", hurt=skip_disk),
    Scene(code="volume.inconsistent", about=VOLUME, seen="the local disk is Inconsistent", remedy="", hurt=disk(drbd.Disk.INCONSISTENT)),
    Scene(code="volume.outdated", about=VOLUME, seen="the local disk is Outdated", remedy="", hurt=disk(drbd.Disk.OUTDATED)),
    Scene(code="volume.consistent", about=VOLUME, seen="the local disk is Consistent", remedy="", hurt=disk(drbd.Disk.CONSISTENT)),
    Scene(code="volume.failed", about=VOLUME, seen="the local disk is Failed", remedy="", hurt=disk(drbd.Disk.FAILED)),
    Scene(code="volume.syncing", about=VOLUME, seen="resync from n2", remedy="", layout=resource(crashed=True), storage=Timings(resync=600.0)),
    Scene(code="volume.no-quorum", about=VOLUME, seen="no quorum; waits for a peer: n2", remedy="", layout=three, faults=(*AWAY, Fault(kind=FaultKind.PEER_AWAY, subject="n3"))),
    Scene(code="volume.suspended", about=VOLUME, seen="I/O is suspended (quorum)", remedy="", layout=three, faults=fault(FaultKind.SUSPENDED)),
    Scene(code="volume.not-promotable", about=VOLUME, seen="DRBD", remedy="drbdadm status", layout=resource(nodes=("n1",), diskless=("n2",)), faults=fault(FaultKind.DRBD_NO_QUORUM)),
    Scene(code="volume.peer-waiting", about=VOLUME, seen="n2 is not connected (Connecting); waits for it", remedy="", faults=AWAY, **LEFT_ALONE),
    Scene(code="volume.peer-absent", about=VOLUME, seen="its node is OFFLINE, and it was waited for", remedy="", faults=AWAY, lasts=60.0, **LEFT_ALONE),
    Scene(code="volume.peer-alive", about=VOLUME, seen="and its node lives", remedy="drbdadm", faults=ALIVE, lasts=60.0, **LEFT_ALONE),
    Scene(code="volume.peer-unknown", about=VOLUME, seen="nobody knows whether its node lives", remedy="", faults=AWAY, then=later(FaultKind.CONTROLLER_REFUSES), lasts=60.0, **LEFT_ALONE),
    Scene(code="volume.peer-primary", about=VOLUME, seen="n2 is Primary: the volume is in use there", remedy="", faults=fault(FaultKind.PEER_PRIMARY)),
    Scene(code="volume.peer-disk", about=VOLUME, seen="the copy on n2 is Outdated", remedy="", hurt=disk(drbd.Disk.OUTDATED, on="n2")),
    Scene(code="volume.standalone", about=VOLUME, seen="connection to n2 is StandAlone", remedy="", faults=fault(FaultKind.SPLIT_BRAIN)),
    Scene(code="volume.split-brain", about=VOLUME, seen="UpToDate on both sides", remedy="--discard-my-data", faults=fault(FaultKind.SPLIT_BRAIN), lasts=60.0),
    Scene(code="drbd.orphan", about="host", seen="ghost is up in DRBD as /dev/drbd1099; LINSTOR does not know it", remedy="drbdsetup down ghost", hurt=forgotten, lasts=60.0),
    # --- devices ---------------------------------------------------------------------------------
    Scene(code="device.missing", about=VOLUME, seen="does not exist for", remedy="", layout=resource(layers=("STORAGE",)), then=lambda stage: stage.world.trees["n1"].vanish(stage.placement().volumes[0].device_path)),
    Scene(code="device.node-missing", about=VOLUME, seen="and DRBD has its minor 1001", remedy="udevadm trigger", faults=fault(FaultKind.DEVICE_MISSING, drbd_up=True, state_reported=True)),
    Scene(code="device.no-data", about=VOLUME, seen="says ENODATA", remedy="", faults=fault(FaultKind.DEVICE_CANNOT_OPEN, errno=errno.ENODATA)),
    Scene(code="device.wrong", about=VOLUME, seen="LINSTOR names /dev/drbd7, and DRBD has the volume as minor 1001", remedy="", then=wrong_path),
    Scene(code="device.cannot-open", about=VOLUME, seen="EMEDIUMTYPE (wrong medium type: a peer is Primary", remedy="drbdadm status", faults=fault(FaultKind.DEVICE_CANNOT_OPEN, errno=errno.EMEDIUMTYPE)),
    Scene(code="device.cannot-open", about=VOLUME, seen="EIO (input/output error)", remedy="dmesg", faults=fault(FaultKind.DEVICE_CANNOT_OPEN, errno=errno.EIO)),
    Scene(code="device.open-hangs", about=VOLUME, seen="does not come back", remedy="", open_within=1e-6),
    Scene(code="device.empty", about=VOLUME, seen="holds nothing, it held ext4", remedy="Start nothing on it", faults=fault(FaultKind.CONTENT_EMPTY), wanted=kept()),
    Scene(code="device.other-content", about=VOLUME, seen="holds ext4, it held xfs", remedy="", wanted=held("xfs")),
    Scene(code="device.content-changed", about=VOLUME, seen="holds ext4, it held gpt", remedy="", layout=block, wanted=held("gpt")),
    Scene(code="device.not-looked", about=VOLUME, seen="nobody has looked at its device", remedy="", then=nobody_looks),
]  # fmt: skip
