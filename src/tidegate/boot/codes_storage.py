# SPDX-License-Identifier: Apache-2.0
"""The causes that lie in devices, in DRBD and in the storage under LINSTOR's pools."""

from typing import Final

from tidegate.boot.code import AGENT, Code

CODES: Final = {
    "devices.late": Code(
        "LINSTOR said ONLINE before the devices were there; Incus's three attempts were over before them.",
        AGENT,
        6,
    ),
    "devices.missing": Code(
        "A device was not there although the satellite's first run was over.",
        "linstor resource list; drbdadm status; the satellite's error reports.",
        7,
    ),
    "volume.path-missing": Code(
        "LINSTOR named no device for a volume: it has none in memory between a restart of the controller and the end of the satellite's first run.",
        AGENT,
        5,
    ),
    "volume.not-mountable": Code(
        "The device was there and held no file system that could be mounted.",
        "Do not format it. Look whether the pool's directory or disk is the one it was: a satellite fills an empty mount point with new, empty volumes.",
        8,
    ),
    "volume.unknown": Code(
        "LINSTOR does not know the volume that Incus asked for.",
        "linstor resource-definition list; compare with incus storage volume list.",
        8,
    ),
    "volume.not-available": Code(
        "LINSTOR could not make a volume available on this node.",
        "See the message; linstor resource list.",
        7,
    ),
    "volume.busy": Code(
        "The device was busy: mounted, or frozen, by somebody else.",
        "findmnt, lsof, dmesg | grep frozen.",
        6,
    ),
    "storage.missing": Code(
        "The volume group, zpool or directory under a pool was not there.",
        "vgs, zpool list, findmnt; order the satellite after what brings it (RequiresMountsFor=, zfs-import.target).",
        8,
    ),
    "storage.broken": Code(
        "The thin pool, zpool or array under a LINSTOR pool was there and not usable: damaged, suspended or read-only.",
        "Look before you repair: lvs -a -o+lv_health_status, zpool status, dmesg. Do not force anything without a copy of the data.",
        9,
    ),
    "storage.full": Code(
        "The thin pool under a LINSTOR pool was full.",
        "lvs; extend it (lvextend) or free room in it, then check the file systems on it.",
        9,
    ),
    "storage.made-anew": Code(
        "The satellite made a volume anew in its first run, empty: where it looked, the old one was not.",
        "Do not use it. Look whether the pool's directory, disk or volume group is the one it was; the old data may lie beside it.",
        9,
    ),
    "drbd.module-refused": Code(
        "The kernel refused the DRBD module that is installed.",
        "Secure Boot: sign it and enrol the key (mokutil --import). Made for another kernel: dkms autoinstall, or install the package for this one.",
        9,
    ),
    "drbd.peer-away": Code(
        "Another node of the volumes was not there for long.",
        "Bring it up, or check the network between the nodes; until then data has one copy less.",
        5,
    ),
    "drbd.link-refused": Code(
        "Two nodes of a resource saw each other and did not connect: secret, version, size or data do not fit.",
        "drbdadm status on both; the line tells what does not fit. LINSTOR writes the same secret to both: linstor node reconnect on the one that is behind.",
        8,
    ),
    "drbd.module-late": Code(
        "The DRBD module was loaded too late.",
        "Load it early: /etc/modules-load.d/drbd.conf; see why it took long.",
        6,
    ),
    "drbd.module-missing": Code(
        "The DRBD module was not loaded.", "modprobe drbd; after a kernel upgrade: dkms status.", 8
    ),
    "drbd.module-old": Code(
        "A DRBD older than 9 was loaded.",
        "Install DRBD 9 for this kernel, and keep the kernel's own from loading.",
        8,
    ),
    "drbd.quorum-lost": Code(
        "DRBD had no quorum: too few nodes of the resource were there.",
        "Bring up the other nodes; after a power loss of all the first node waits for a second.",
        7,
    ),
    "drbd.peer-primary": Code(
        "Another node is Primary for the volume.",
        "Find out where the instance runs before anything else: incus list, drbdadm status.",
        8,
    ),
    "drbd.split-brain": Code(
        "Both nodes changed their data without each other: split brain.",
        "Choose whose data to keep, by hand (DRBD user's guide, split brain recovery).",
        9,
    ),
    "drbd.no-data": Code(
        "No up-to-date data was within reach.",
        "Bring up the node with the good disk; drbdadm status.",
        7,
    ),
    "drbd.io-error": Code(
        "A disk under DRBD failed.",
        "Replace the disk; LINSTOR sets SkipDisk after such an error, which makes the next boot diskless.",
        8,
    ),
}
