# SPDX-License-Identifier: Apache-2.0
"""Finding codes of volumes and their devices."""

from typing import Final

from tidegate.health.code import Code, degraded, failing, unknown

_DATA = "up-to-date data on the local disk, or over a connected peer"
_OPENS = "a block device that opens"
_ALL_PEERS = "every peer with a disk connected, or its node OFFLINE for good"

CODES: Final[tuple[Code, ...]] = (
    # --- placement ---------------------------------------------------------------------------
    unknown(
        "volume.not-known",
        "Nothing is known of this volume yet.",
        "an answer of the controller about it",
        "Wait; if it stays, see the finding about the controller.",
    ),
    failing(
        "volume.not-found",
        "No resource definition of LINSTOR carries the name and type of a volume that an instance needs.",
        "one resource definition with Aux/Incus/name={name}, Aux/Incus/type={type} in resource group {group}",
        "linstor resource-definition list-properties; restore the volume, or remove the device from the instance.",
        person=True,
    ),
    failing(
        "volume.ambiguous",
        "More than one resource definition of LINSTOR carries the name and type of a volume; Incus refuses to choose.",
        "one resource definition with Aux/Incus/name={name}, Aux/Incus/type={type} in resource group {group}",
        "Find out which one holds the data, and change Aux/Incus/name of the other: linstor resource-definition set-property",
        person=True,
    ),
    failing(
        "volume.gone",
        "LINSTOR has no such resource any more, or is deleting it.",
        "resource {resource} in LINSTOR",
        "Restore it from a backup or snapshot, or remove it from what needs it.",
        person=True,
    ),
    degraded(
        "volume.not-placed",
        "This node has no replica of the resource. Incus asks LINSTOR for a diskless one when it starts the instance.",
        "a replica on this node",
        "Nothing; for local reads: linstor resource create {node} {resource}",
    ),
    failing(
        "volume.elsewhere",
        "The volume lies on other nodes only and has no DRBD: it cannot be reached from here.",
        "a replica on this node",
        "Move the instance to a node that has the volume: linstor resource list -r {resource}",
        person=True,
    ),
    failing(
        "volume.inactive",
        "The resource is deactivated on this node.",
        "an active resource",
        "linstor resource activate {node} {resource}",
        person=True,
    ),
    failing(
        "volume.not-reported",
        "The satellite has reported nothing about this resource since it connected: its device manager has not come to it, or failed at it.",
        "a state in: linstor resource list -r {resource}",
        "Wait: volumes come one after another. If it stays: linstor error-reports list; a failed one is tried again after 23 s and more.",
    ),
    failing(
        "volume.path-missing",
        "LINSTOR does not know the device's path; Incus would open an empty one. After a restart of the controller this lasts until the satellite's first run is over.",
        "a device_path",
        "Wait; if it stays: linstor node reconnect {node}",
    ),
    degraded(
        "volume.on-local-truth",
        "The controller cannot be asked; the kernel says that the volume is good. Incus still cannot start an instance on it.",
        "a controller that confirms it",
        "See the finding about the controller.",
    ),
    failing(
        "volume.passphrase-missing",
        "The volume is encrypted, and LINSTOR's master passphrase has not been entered since its controller started: it cannot come up.",
        "an unlocked controller",
        "linstor encryption enter-passphrase. For the next boot: MASTER_PASSPHRASE in the controller's environment, or a systemd credential linstor-masterpassphrase.",
        person=True,
    ),
    # --- DRBD --------------------------------------------------------------------------------
    failing(
        "volume.down",
        "DRBD in the kernel does not have this resource.",
        "the resource up in: drbdsetup status {resource}",
        "Wait for the satellite; by hand, from the files that LINSTOR left: drbdadm adjust {resource}",
    ),
    failing(
        "volume.attaching",
        "The local disk is being attached.",
        _DATA,
        "Wait: it takes seconds.",
    ),
    failing(
        "volume.diskless",
        "DRBD has no local disk for this volume, though LINSTOR placed one here.",
        _DATA,
        "drbdadm attach {resource}; if that fails, the disk below is broken or missing: linstor volume list -r {resource}",
    ),
    degraded(
        "volume.skip-disk",
        "LINSTOR has set DrbdOptions/SkipDisk after an I/O error: this resource comes up without its disk at every boot.",
        "no property DrbdOptions/SkipDisk",
        "When the disk is sound again: linstor resource set-property {node} {resource} DrbdOptions/SkipDisk",
    ),
    failing(
        "volume.inconsistent",
        "The local data are incomplete: a resync began and did not end.",
        _DATA,
        "Bring the peer back that has the data; DRBD then goes on by itself.",
    ),
    failing(
        "volume.outdated",
        "The local data are known to be older than a peer's.",
        _DATA,
        "Connect the peer that has the newer data: drbdadm adjust {resource}",
    ),
    failing(
        "volume.consistent",
        "The local data are whole, but DRBD cannot know without a peer whether they are the newest.",
        _DATA,
        "Connect a peer.",
    ),
    failing(
        "volume.failed",
        "The local disk gave an I/O error.",
        _DATA,
        "Look at the disk below (dmesg); once it is sound: drbdadm attach {resource}",
    ),
    degraded(
        "volume.syncing",
        "The local disk is being brought up to date; until then reads go to a peer.",
        "UpToDate",
        "Wait for the resync: drbdadm status {resource}",
    ),
    failing(
        "volume.no-quorum",
        "DRBD has no quorum for this volume: too few of its nodes are connected.",
        "quorum",
        "Bring the missing nodes back. Never force it: drbdadm status {resource} names them.",
    ),
    failing(
        "volume.suspended",
        "DRBD holds back all I/O of this resource; whoever uses it hangs.",
        "suspended:no",
        "For quorum or no-data: bring the missing nodes back. For user: drbdadm resume-io {resource}",
    ),
    failing(
        "volume.not-promotable",
        "DRBD says that this resource cannot be used here now.",
        "a promotion score of at least 10100, or 1 over a peer",
        "drbdadm status {resource}",
    ),
    failing(
        "volume.peer-waiting",
        "There is no quorum rule, and a peer that may have newer data is not connected yet. Starting without it could split the data.",
        _ALL_PEERS,
        "Wait: it is given {limit} s after the device came up.",
    ),
    failing(
        "volume.peer-alive",
        "There is no quorum rule, and a peer that lives is not connected: the link between the two is broken. It may have newer data.",
        _ALL_PEERS,
        'Repair the link (drbdadm status {resource}; the ports of the resource between {node} and {peer}). If you know that {peer} has no newer data, and only then: drbdadm disconnect {resource}:{peer} there and health.peer_alive = "use" here.',
    ),
    failing(
        "volume.peer-unknown",
        "There is no quorum rule, a peer is not connected, and nobody can say whether it lives.",
        _ALL_PEERS,
        "Bring the controller back, or the peer {peer}.",
    ),
    failing(
        "volume.peer-primary",
        "The volume is in use on another node. Using it here as well would destroy its data.",
        "no other Primary",
        "Find out what uses it on {peer}; stop it there, or leave it there.",
        person=True,
    ),
    degraded(
        "volume.peer-absent",
        "A peer with a disk is not connected; the volume is used without it. There is one copy less than planned.",
        "every peer connected",
        "Bring {peer} back, or repair the link to it: drbdadm status {resource}",
    ),
    degraded(
        "volume.peer-disk",
        "A connected peer has no up-to-date data: there is one copy less than planned.",
        "UpToDate on every peer",
        "drbdadm status {resource} on {peer}",
    ),
    failing(
        "volume.standalone",
        "DRBD has given up the connection to a peer, or was told to. A moment of this is normal while a resource comes up.",
        "Connected, or at least Connecting",
        "drbdadm connect {resource}:{peer}; if it falls back, the kernel's log says why: journalctl -k -g {resource}",
    ),
    failing(
        "volume.split-brain",
        "Both sides have up-to-date data of their own and refuse each other: they were written to independently.",
        "one history of the data",
        "Decide whose data to keep. On the other node, which loses its changes: drbdadm disconnect {resource}; drbdadm connect --discard-my-data {resource}. Then here: drbdadm connect {resource}. Tidegate never does this.",
        person=True,
    ),
    # --- devices -----------------------------------------------------------------------------
    failing(
        "device.missing",
        "The device node does not exist.",
        _OPENS,
        "Wait: DRBD and udev make it. If it stays: drbdadm status {resource}; ls -l {path}; udevadm trigger",
    ),
    failing(
        "device.node-missing",
        "DRBD in the kernel has the device, and its node in /dev does not exist: udev is late, or did not do its part.",
        _OPENS,
        "Wait: seconds while a host comes up. If it stays: udevadm trigger --subsystem-match=block; udevadm settle; journalctl -b -u systemd-udevd",
    ),
    failing(
        "device.no-data",
        "The device exists and cannot be opened: no disk is attached yet, or there is no quorum or no data.",
        _OPENS,
        "Wait: normal in the seconds before the disk is attached. If it stays: drbdadm status {resource}",
    ),
    failing(
        "device.wrong",
        "The path that LINSTOR gives leads to something else than this volume.",
        "the device of {resource}, volume {volume}",
        "Start nothing on it. linstor node reconnect {node} makes LINSTOR read its devices anew.",
    ),
    failing(
        "device.cannot-open",
        "Opening the device gives an error.",
        _OPENS,
        "{advice}",
    ),
    failing(
        "device.open-hangs",
        "Opening the device does not come back: I/O is suspended, or the disk below hangs.",
        _OPENS,
        "drbdadm status {resource} (suspended?); dmesg for the disk below.",
    ),
    failing(
        "device.empty",
        "The device holds nothing, and it held data before. LINSTOR makes lost volumes of file pools anew, empty.",
        "{content}, as at the last good moment",
        "Start nothing on it. Is the storage behind pool {pool} mounted and the one it was? Bring it back, then restart the satellite. If you emptied it on purpose: tidegate's map is renewed when you remove {map}.",
        person=True,
    ),
    failing(
        "device.other-content",
        "The device holds another file system than at the last good moment.",
        "{content}, as at the last good moment",
        "Find out why (blkid {path}). If it is on purpose, remove {map}: the map is made anew.",
        person=True,
    ),
    degraded(
        "device.content-changed",
        "A virtual disk begins otherwise than at the last good moment; its guest may have done that.",
        "{content}, as at the last good moment",
        "Nothing, if the guest was installed anew.",
    ),
    degraded(
        "device.content-unknown",
        "What the device holds was not recognised, though it was before.",
        "{content}, as at the last good moment",
        "blkid -p {path}",
    ),
    unknown(
        "device.not-looked",
        "Nobody has looked at the device of this volume, or not since its path changed.",
        _OPENS,
        "Wait; if it stays, Tidegate may lack the right to open devices: run it as root.",
    ),
)
