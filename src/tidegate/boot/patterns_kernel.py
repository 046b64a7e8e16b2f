# SPDX-License-Identifier: Apache-2.0
"""What the kernel says: DRBD 9.1 to 9.3 (``drbd_state.c``, ``drbd_receiver.c``; recordings of 9.2.18 and 9.3.3), file systems, memory, disks."""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program

_RES: Final = r"^drbd (?P<resource>[^\s/:]+)"
_VOL: Final = r"^drbd (?P<resource>[^\s/:]+)/(?P<volume>\d+) (?P<device>drbd\d+)"


def _drbd(
    kind: Kind | None,
    literal: str,
    regex: str,
    sample: str,
    *,
    source: str = "seen",
    versions: str = "DRBD 9",
    subject: str = "resource/{resource}",
) -> Pattern:
    return Pattern(
        program=Program.KERNEL,
        kind=kind,
        literal=literal,
        regex=regex,
        subject=subject,
        sample=sample,
        versions=versions,
        source=source,
    )


def _kernel(
    kind: Kind | None, literal: str, sample: str, *, regex: str = "", source: str = "seen"
) -> Pattern:
    return Pattern(
        program=Program.KERNEL,
        kind=kind,
        literal=literal,
        regex=regex,
        sample=sample,
        source=source,
        subject="host",
    )


PATTERNS: Final = (
    _drbd(
        Kind.DRBD_DISK,
        "disk( ",
        _VOL + r": .*?(?<!p)disk\( (?P<from>\w+) -> (?P<to>\w+) \)",
        "drbd incus-volume-339abc8c/0 drbd1002: disk( Attaching -> UpToDate ) [attach]",
    ),
    _drbd(
        Kind.DRBD_SPLIT_BRAIN,
        "Split-Brain detected but unresolved",
        _RES + r"(?:/\d+ (?P<device>drbd\d+))? (?P<peer>[^\s:]+): Split-Brain detected but",
        "drbd odd/0 drbd1001 n2: Split-Brain detected but unresolved, dropping connection!",
    ),
    _drbd(
        Kind.DRBD_QUORUM_BACK,
        "quorum( no -> yes )",
        _VOL,
        "drbd pvc-r0/0 drbd1000: quorum( no -> yes ) [connected]",
    ),
    _drbd(
        Kind.DRBD_QUORUM_LOST,
        "quorum( yes -> no )",
        _VOL + r": (?!Failed:)(?!.*\[down\])",
        "drbd pvc-r0/0 drbd1000: quorum( yes -> no )",
    ),
    _drbd(
        Kind.DRBD_QUORUM_LOST,
        " for quorum",
        _RES + r": (?P<seen>\d+) of (?P<all>\d+) nodes visible, need (?P<need>\d+) for quorum",
        "drbd pvc-r0: 2 of 5 nodes visible, need 3 for quorum",
    ),
    _drbd(
        Kind.DRBD_REFUSED,
        "Auto-promote failed",
        _RES + r": Auto-promote failed: (?P<err>.*?) \((?P<code>-?\d+)\)",
        "drbd pvc-r0: Auto-promote failed: No quorum (-25)",
    ),
    _drbd(
        Kind.DRBD_REFUSED,
        "State change failed",
        _RES
        + r"(?:/\d+ (?P<device>drbd\d+))?.*?: State change failed: (?P<err>.*?) \((?P<code>-?\d+)\)",
        "drbd pvc-r0: State change failed: No quorum (-25)",
    ),
    _drbd(
        Kind.DRBD_PEER_PRIMARY,
        "-> Primary )",
        _RES + r" (?P<peer>[^\s:]+): .*peer\( (?P<from>\w+) -> Primary \)",
        "drbd pvc-r0 n2: conn( Connecting -> Connected ) peer( Unknown -> Primary ) [connected]",
    ),
    _drbd(
        Kind.DRBD_CONNECTION,
        "conn( ",
        _RES + r" (?P<peer>[^\s:]+): conn\( (?P<from>\w+) -> (?P<to>\w+) \)",
        "drbd incus-volume-339abc8c n2: conn( Connecting -> Connected ) peer( Unknown -> Secondary ) [connected]",
    ),
    _drbd(
        Kind.DRBD_ROLE,
        "role( ",
        _RES + r": role\( (?P<from>\w+) -> (?P<to>\w+) \)[^\[]*(?:\[(?P<by>[^\]]*)\])?",
        "drbd incus-volume-339abc8c: role( Secondary -> Primary ) [incusd:532 auto-promote]",
    ),
    _drbd(
        Kind.DRBD_QUORUM_LOST,
        "susp-io( no -> quorum )",
        _RES + r": .*susp-io\( no -> quorum \)(?!.*\[down\])",
        "drbd pvc-r0: susp-io( no -> quorum ) [attach]",
    ),
    _drbd(
        Kind.DRBD_QUORUM_BACK,
        "susp-io( quorum -> ",
        _RES + r": .*susp-io\( quorum -> ",
        "drbd pvc-r0: susp-io( quorum -> no ) [connected]",
    ),
    *(
        _drbd(
            Kind.DRBD_LINK_REFUSED,
            literal,
            _RES
            + rf"(?:/\d+ (?P<device>drbd\d+))? (?:\w+:)?(?P<peer>[^\s:]+): .*?(?P<err>{literal}.{{0,80}})",
            sample,
            source="drbd_receiver.c",
        )
        for literal, sample in (
            ("Authentication of peer failed", "drbd r0 n2: Authentication of peer failed"),
            ("Unrelated data, aborting", "drbd r0/0 drbd1000 n2: Unrelated data, aborting!"),
            (
                "incompatible ",
                "drbd r0 n2: incompatible DRBD dialects: I support 118-124, peer supports 86-101",
            ),
            (
                "peer's disk size is too small",
                "drbd r0/0 drbd1000 n2: The peer's disk size is too small! (2048 < 4096 sectors)",
            ),
            ("bind before ", "drbd r0 tcp:n2: bind before connect failed, err = -99"),
            (
                "Peer presented a node_id",
                "drbd r0 n2: Peer presented a node_id of 2 instead of 1",
            ),
        )
    ),
    _drbd(
        Kind.DRBD_RESYNC,
        "Began resync as ",
        _RES + r"(?:/\d+ (?P<device>drbd\d+))? (?P<peer>[^\s:]+): Began resync as (?P<as>\w+)",
        "drbd incus-volume-339abc8c/0 drbd1002 n2: Began resync as SyncSource (will sync 258048 KB [64512 bits set]).",
    ),
    _drbd(
        Kind.DRBD_IO_ERROR,
        "Local IO failed",
        _RES + r"(?:/\d+ (?P<device>drbd\d+))?",
        "drbd odd/0 drbd1001: Local IO failed in drbd_request_endio. Detaching...",
    ),
    _drbd(
        Kind.UNCLEAN_BEFORE,
        "out-of-sync based on AL",
        _RES + r".*Marked additional (?P<size>\d+ \w+) as out-of-sync based on AL",
        "drbd c1/0 drbd1002: Marked additional 136 MB as out-of-sync based on AL.",
        subject="host",
        source="facts/early-observed.md E2",
    ),
    _kernel(
        Kind.MODULE_LOADED,
        "drbd: initialized. Version",
        "drbd: initialized. Version: 9.3.3 (api:2/proto:118-124)",
        regex=r"drbd: initialized\. Version: (?P<version>\S+)",
    ),
    _kernel(
        Kind.MODULE_FAILED,
        "drbd: ran out of memory",
        "drbd: ran out of memory",
        source="facts/fullstack-observed.md, module missing",
    ),
    _kernel(
        Kind.MODULE_FAILED,
        "drbd: disagrees about version of symbol",
        "drbd: disagrees about version of symbol module_layout",
        source="kernel/module",
    ),
    *(
        _kernel(
            Kind.MODULE_FAILED,
            literal,
            sample,
            regex=rf"(?P<err>{literal}.{{0,80}})",
            source="kernel/module",
        )
        for literal, sample in (
            ("drbd: version magic", "drbd: version magic '6.12.1 SMP' should be '6.12.9 SMP'"),
            ("drbd: Unknown symbol", "drbd: Unknown symbol lru_cache_create (err -2)"),
        )
    ),
    *(
        Pattern(
            program=Program.KERNEL,
            kind=Kind.MODULE_FAILED,
            literal=literal,
            regex=r"(?P<err>.*)",
            subject="host",
            sample=sample,
            source="kernel/module/signing.c, security/lockdown",
            data={"by": "signature"},
        )
        for literal, sample in (
            ("Loading of unsigned module is rejected", "Loading of unsigned module is rejected"),
            (
                "Loading of module with unavailable key is rejected",
                "Loading of module with unavailable key is rejected",
            ),
            (
                "unsigned module loading is restricted",
                "Lockdown: systemd-modules: unsigned module loading is restricted; see man kernel_lockdown.7",
            ),
        )
    ),
    *(
        Pattern(
            program=Program.KERNEL,
            kind=kind,
            literal=literal,
            regex=regex,
            subject="storage/{name}",
            sample=sample,
            source=source,
        )
        for kind, literal, regex, sample, source in (
            (
                Kind.STORAGE_BROKEN,
                "switching pool to read-only mode",
                r"device-mapper: (?P<name>thin: [\d:]+\d): (?P<err>switching pool to read-only mode)",
                "device-mapper: thin: 252:4: switching pool to read-only mode",
                "drivers/md/dm-thin.c",
            ),
            (
                Kind.STORAGE_FULL,
                "switching pool to out-of-data-space",
                r"device-mapper: (?P<name>thin: [\d:]+\d): (?P<err>switching pool to out-of-data-space.*)",
                "device-mapper: thin: 252:4: switching pool to out-of-data-space (queue IO) mode",
                "drivers/md/dm-thin.c",
            ),
            (
                Kind.STORAGE_BROKEN,
                "has encountered an uncorrectable I/O failure",
                r"Pool '(?P<name>[^']+)' (?P<err>has encountered an uncorrectable I/O failure.*)",
                "WARNING: Pool 'tank' has encountered an uncorrectable I/O failure and has been suspended.",
                "zfs module/zfs/spa_misc.c",
            ),
            (
                Kind.STORAGE_BROKEN,
                "not enough operational devices",
                r"md/raid\w*:(?P<name>md\w+): (?P<err>not enough operational devices.*)",
                "md/raid:md127: not enough operational devices (2/4 failed)",
                "drivers/md/raid5.c",
            ),
        )
    ),
    *(
        Pattern(
            program=Program.KERNEL,
            kind=Kind.FS_ERROR,
            literal=literal,
            regex=r"^(?:EXT4-fs(?: error)?|XFS|BTRFS error) \((?:device )?(?P<dev>[^):]+)[^)]*\):? (?P<err>.{0,120})",
            subject="device/{dev}",
            sample=sample,
            source=source,
        )
        for literal, sample, source in (
            (
                "EXT4-fs error (device ",
                "EXT4-fs error (device sda2): ext4_lookup:1857: inode #2: comm incusd: bad extra_isize",
                "fs/ext4/super.c",
            ),
            (
                "Remounting filesystem read-only",
                "EXT4-fs (sda2): Remounting filesystem read-only",
                "fs/ext4/super.c",
            ),
            (
                "Can't find ext4 filesystem",
                "EXT4-fs (drbd1001): VFS: Can't find ext4 filesystem",
                "fs/ext4/super.c",
            ),
            (
                "Metadata corruption detected",
                "XFS (drbd1001): Metadata corruption detected at xfs_agf_verify+0x1f0/0x210 [xfs]",
                "fs/xfs/xfs_error.c",
            ),
        )
    ),
    _kernel(
        Kind.KERNEL_STARTED,
        "Linux version ",
        "Linux version 6.12.107+deb13-cloud-amd64 (debian-kernel@lists.debian.org)",
        regex=r"^Linux version (?P<version>\S+)",
    ),
    _kernel(
        Kind.OOM_KILL,
        "Killed process ",
        "Out of memory: Killed process 308 (java) total-vm:4523456kB, anon-rss:1823456kB",
        regex=r"(?:Out of memory|out of memory|oom).*Killed process (?P<pid>\d+) \((?P<name>[^)]*)\)",
        source="mm/oom_kill.c",
    ),
    _kernel(
        Kind.HUNG_TASK,
        " blocked for more than ",
        "INFO: task incusd:532 blocked for more than 120 seconds.",
        regex=r"INFO: task (?P<name>[^:]+):(?P<pid>\d+) blocked for more than (?P<seconds>\d+) seconds",
        source="kernel/hung_task.c",
    ),
    _kernel(
        Kind.KERNEL_OOPS,
        "BUG: ",
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
        regex=r"^BUG: (?P<what>.{3,80})",
        source="arch/x86/mm/fault.c",
    ),
    _kernel(
        Kind.KERNEL_OOPS,
        "Oops: ",
        "Oops: 0002 [#1] PREEMPT SMP NOPTI",
        regex=r"^Oops: ",
        source="arch/x86/kernel/dumpstack.c",
    ),
    _kernel(
        Kind.IO_ERROR,
        "I/O error, dev ",
        "I/O error, dev sda, sector 12345 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        regex=r"I/O error, dev (?!fd\d|sr\d)(?P<dev>\S+),",
        source="block/blk-core.c",
    ),
    Pattern(
        program=Program.KERNEL,
        kind=Kind.INSTANCE_MOUNTED,
        literal=": mounted filesystem",
        regex=r"^(?:EXT4-fs|BTRFS info|XFS) \((?:device )?(?P<device>drbd\d+|zd\d+|dm-\d+|loop\d+|rbd\d+)\).*: mounted filesystem",
        subject="device/{device}",
        sample="EXT4-fs (drbd1002): mounted filesystem b4e4e9d2-30ad-4733-8ae4-2bffad7fb800 r/w with ordered data mode. Quota mode: none.",
    ),
    _kernel(
        Kind.UNCLEAN_BEFORE,
        "): recovery complete",
        "EXT4-fs (vda1): recovery complete",
        regex=r"^EXT4-fs \((?P<device>[^)]+)\): recovery complete",
    ),
    _kernel(
        Kind.UNCLEAN_BEFORE,
        "): Starting recovery",
        "XFS (vda1): Starting recovery (logdev: internal)",
        regex=r"^XFS \((?P<device>[^)]+)\): Starting recovery",
        source="fs/xfs/xfs_log_recover.c",
    ),
    _kernel(
        Kind.LINK_UP,
        "Link is Up",
        "e1000e 0000:00:1f.6 eno1: NIC Link is Up 1000 Mbps Full Duplex",
        regex=r"(?P<link>[\w.-]+): (?:NIC )?Link is Up",
        source="drivers/net",
    ),
    _drbd(None, "drbd ", _RES, "drbd odd: Starting worker thread (node-id 1)"),
    Pattern(
        program=Program.KERNEL,
        literal="drbd",
        regex=r"^(?:drbd\d*: |workqueue: )",
        sample="drbd1002: detected capacity change from 0 to 20971520",
    ),
)
"""In the order in which they are tried."""
