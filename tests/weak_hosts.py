# SPDX-License-Identifier: Apache-2.0
"""What makes a host's boots long, one weakness a line or two, and a host that has none of them: as data.

Three things are dressed with it: the host of the contract tests (``tests.tuned_hosts``), real machines of the lab
(``tests.lab.special_tune``), and boots of the simulator (``tests/sim/test_tuning.py``). Each weakness names the advice that must
come first. What a kind of host cannot have it leaves out, and says so there.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

UNIT: Final = "linstor-satellite.service"
CONTROLLER: Final = "linstor-controller.service"
NETWORKD: Final = "systemd-networkd-wait-online.service"
SETTLE: Final = "systemd-udev-settle.service"
SCAN: Final = "zfs-import-scan.service"
AGENT_LINK: Final = "/etc/systemd/system/multi-user.target.wants/tidegate-agent.service"
FIRST_MINOR: Final = 1001
"""In the lab there are real devices behind the first ones, which ``blkid`` looks at."""
DATABASE: Final = "/var/lib/incus/linstordb"
"""Of the controller: in a directory that is a mount of its own on every kind of host."""
DISK: Final = "@DISK@"
"""In a path: the disk below that mount."""
QUICK: Final = '[Service]\nEnvironment="JAVA_OPTS=-XX:+UseSerialGC -XX:TieredStopAtLevel=1"\n'


def drop_in(name: str) -> str:
    """Return the place of a drop-in of somebody else for the satellite's unit."""
    return f"/etc/systemd/system/{UNIT}.d/50-{name}.conf"


class Drbd(msgspec.Struct, frozen=True, kw_only=True):
    """What DRBD says of its volumes, beside those of the host itself. ``strangers``: resources that are nobody's LINSTOR's."""

    al_extents: int = 1237
    strangers: int = 0
    on_zvols: bool = False
    meta: str = ""
    """The disk that all metadata lies on; "": beside the data."""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """How boots of the simulator are before the change and after it: timings, or what the schedule has.

    ``start``: seconds of an instance's own start; ``crashed``: its volumes were in use when the host went down.

    Its satellite's unit is active from the first second on, it has no processors to be short of and no disks;
    its instances start in a moment.
    """

    before: Mapping[str, Any] = {}
    after: Mapping[str, Any] = {}


class Weak(msgspec.Struct, frozen=True, kw_only=True):
    """One weakness.

    Attributes:
        took: seconds that phases of a boot take, by name; ``cpu-waited`` of them without a processor.
        waits: units that the satellite's start waits for, and for how long.
        controller: seconds that the controller's own start takes, on this host.
        files: what lies where; None: what a healthy host has there is not there. ``sparse``: empty files, by size.
        programs: stand-ins for what cannot run there: they answer as recorded, after a real delay.
        drbd: what DRBD says.
        kept: resources that are kept here and that LINSTOR does not know.
        settings: keys of our own configuration.
        link: a network link that nothing needs comes up late.
        autostart: options of instances of Incus.
        open_files: files that the satellite has open, of 64.
        slow_disk: a directory whose disk takes 12 ms for a small synced write; the other takes what it takes.
        cpus: processors.
        stubborn: something does not end by itself at shutdown, and keeps what it uses: DRBD copies it at the next start.
        resync: seconds which that takes.
        simulated: how the simulator expresses it; None: it cannot.
    """

    took: Mapping[str, float] = {}
    waits: Mapping[str, float] = {}
    controller: float = 0.0
    files: Mapping[str, str | None] = {}
    sparse: Mapping[str, int] = {}
    programs: Mapping[str, str] = {}
    drbd: Drbd = Drbd()
    kept: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}
    link: bool = False
    autostart: Mapping[str, Mapping[str, str]] = {}
    open_files: int = 0
    slow_disk: str = ""
    cpus: int = 0
    stubborn: bool = False
    resync: float = 0.0
    simulated: Simulated | None = None


EARLY: Final = {"satellite": 0.1, "reconnect_round": 0.0, "authenticate": 0.1, "full_sync": 0.1}
"""A satellite that is there before Incus: then Incus itself starts all, in its own order."""

WEAK: Final[dict[str, Weak]] = {
    "jvm-flags": Weak(
        took={"jvm": 6.0}, simulated=Simulated(before={"satellite": 9.0}, after={"satellite": 4.1})
    ),
    "jvm-heap": Weak(files={drop_in("heap"): "[Service]\nEnvironment=JAVA_OPTS=-Xmx900G\n"}),
    "class-archive": Weak(
        took={"jvm": 20.0},
        files={drop_in("flags"): QUICK},
        simulated=Simulated(before={"satellite": 20.0}, after={"satellite": 15.5}),
    ),
    "boot-weight": Weak(took={"jvm": 6.0, "cpu-waited": 5.0}, files={drop_in("flags"): QUICK}),
    "satellite-restart": Weak(files={AGENT_LINK: None}),
    "inotify-limit": Weak(files={"/proc/sys/fs/inotify/max_user_instances": "5\n"}),
    "file-limit": Weak(files={drop_in("limit"): "[Service]\nLimitNOFILE=64\n"}, open_files=52),
    "wake-controller": Weak(
        took={"connect": 8.0},
        settings={"recovery.wake_controller": "false"},
        simulated=Simulated(before={"wakes": False}),
    ),
    "controller-jvm": Weak(
        controller=12.0,
        simulated=Simulated(before={"controller_at": 12.0}, after={"controller_at": 5.0}),
    ),
    "controller-database": Weak(
        files={
            f"/usr/lib/systemd/system/{CONTROLLER}": "[Service]\nExecStart=/bin/true\n",
            "/etc/linstor/linstor.toml": f'[db]\nconnection_url = "jdbc:h2:{DATABASE}"\n',
            f"/sys/class/block/{DISK}/queue/rotational": "1\n",
        },
        sparse={f"{DATABASE}.mv.db": 400_000_000},
        simulated=Simulated(before={"controller_at": 9.0}, after={"controller_at": 5.0}),
    ),
    "devices-first": Weak(
        took={"devices": 6.0},
        simulated=Simulated(
            before={"satellite": 2.0, "per_device": 3.0},
            after={"satellite": 2.0, "per_device": 3.0, "devices_first": True},
        ),
    ),
    "lvm-filter": Weak(
        files={f"/sys/block/zd{number * 16}/size": "2048\n" for number in range(6)},
        programs={
            "pvdisplay": 'case "$*" in *global_filter*) ;; *) sleep 1.5 ;; esac; echo "  /dev/sda"'
        },
        simulated=Simulated(before={"full_sync": 2.6}),
    ),
    "zfs-snapshots": Weak(
        programs={
            "zfs": 'case "$*" in *snapshot*) sleep 1; yes "a@b" | head -1800 ;; *) yes a | head -40 ;; esac',
            "zpool": "echo '\t/dev/sda'",
        },
        drbd=Drbd(on_zvols=True),
        simulated=Simulated(before={"full_sync": 3.0}),
    ),
    "zfs-import-cache": Weak(waits={SCAN: 6.0}, files={"/etc/zfs/zpool.cache": None}),
    "udev-settle": Weak(waits={SETTLE: 6.0}),
    "multipath-blacklist": Weak(
        files={"/usr/lib/udev/rules.d/60-multipath.rules": "# asks for each\n"},
        programs={"multipath": "sleep 0.6"},
        drbd=Drbd(strangers=9),
        simulated=Simulated(before={"per_device": 0.6}),
    ),
    "module-at-boot": Weak(
        files={"/usr/lib/modules-load.d/drbd.conf": None},
        simulated=Simulated(before={"module_at": 12.0}),
    ),
    "orphans": Weak(
        took={"devices": 6.0},
        kept=("left-1", "left-2", "left-3"),
    ),
    "metadata-medium": Weak(
        took={"instances": 8.0}, drbd=Drbd(meta="sdb"), slow_disk="/var/lib/incus"
    ),
    "activity-log": Weak(
        drbd=Drbd(al_extents=6433),
        simulated=Simulated(
            before={"crashed": True, "resync": 40.0}, after={"crashed": True, "resync": 8.0}
        ),
    ),
    "network-online": Weak(waits={NETWORKD: 6.0}, link=True),
    "autostart-delay": Weak(
        autostart={name: {"boot.autostart.delay": "8"} for name in ("c1", "c2")},
        simulated=Simulated(before={"options": True}),
    ),
    "autostart-priority": Weak(
        took={"instances": 8.0},
        autostart={name: {"boot.autostart.priority": "1"} for name in ("c1", "c2", "c3")},
        cpus=16,
        simulated=Simulated(
            before={"options": True, "start": 2.0, **EARLY}, after={"start": 2.0, **EARLY}
        ),
    ),
    "slow-shutdown": Weak(
        stubborn=True,
        resync=6.0,
        simulated=Simulated(before={"crashed": True, "resync": 6.0}),
    ),
}
"""By the advice that must come first."""


def healthy(resources: Sequence[str], disk: str = "sda") -> dict[str, str]:
    """Return the files of a host with nothing wrong, besides its units and its satellite; ``disk``: what its directories lie on."""
    files = {
        "/usr/lib/modules-load.d/drbd.conf": "drbd\n",
        "/proc/sys/fs/inotify/max_user_instances": "128\n",
        "/etc/zfs/zpool.cache": "x",
    }
    files |= {f"/var/lib/linstor.d/{name}.res": "resource r {}\n" for name in resources}
    for name, rotational in {"sda": 0, "sdb": 1, disk: 0}.items():
        files[f"/sys/class/block/{name}/queue/rotational"] = f"{rotational}\n"
        files[f"/sys/class/block/{name}/queue/write_cache"] = "write back\n"
    for name in resources:
        files[f"/sys/class/block/dm-{name}/slaves/sda/dev"] = "8:0\n"
        files[f"/dev/dm-{name}"] = ""
    return files


def links(resources: Sequence[str]) -> dict[str, str]:
    """Return the links of that host: each logical volume's name leads to its device."""
    return {f"/dev/vg0/{name}_00000": f"../dm-{name}" for name in resources}


PROGRAMS: Final = {
    "pvdisplay": 'echo "  /dev/sda"',
    "lvs": "yes '  r0_00000;/dev/vg0/r0_00000' | head -4",
    "drbdadm": "echo DEVICE=drbd1001",
}
"""What a healthy host answers, at once."""


def drbd_answers(
    resources: Sequence[str], drbd: Drbd, local: str, peer: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what ``drbdsetup show --json`` and ``status --json`` say of ``resources``; ``local``, ``peer``: addresses of a connection."""
    names = [*resources, *(f"other{number}" for number in range(drbd.strangers))]
    minors = {name: FIRST_MINOR + place for place, name in enumerate(names)}
    show = [_shown(name, minor, drbd) for name, minor in minors.items()]
    status = [_stated(name, minor, local, peer) for name, minor in minors.items()]
    return show, status


def _shown(name: str, minor: int, drbd: Drbd) -> dict[str, Any]:
    where = "/dev/zvol/tank" if drbd.on_zvols else "/dev/vg0"
    volume = {
        "volume_nr": 0,
        "device_minor": minor,
        "backing-disk": f"{where}/{name}" + ("" if name.startswith("other") else "_00000"),
        "meta-disk": f"/dev/{drbd.meta}" if drbd.meta else "internal",
        "disk": {"al-extents": drbd.al_extents},
    }
    peer = {"_peer_node_id": 1, "volumes": [{"volume_nr": 0, "disk": {"c-max-rate": "102400k"}}]}
    return {
        "resource": name,
        "_this_host": {"node-id": 0, "volumes": [volume]},
        "connections": [peer],
    }


def _stated(name: str, minor: int, local: str, peer: str) -> dict[str, Any]:
    device = {
        "volume": 0,
        "minor": minor,
        "disk-state": "UpToDate",
        "size": 100 << 20,
        "al-writes": 900,
    }
    path = {"this_host": {"address": local}, "remote_host": {"address": peer}}
    connection = {
        "peer-node-id": 1,
        "name": "n2",
        "paths": [path],
        "peer_devices": [{"volume": 0, "replication-state": "Established"}],
    }
    return {
        "name": name,
        "role": "Primary",
        "devices": [device],
        "connections": [connection],
    }


def network(needed: str, needless: str, address: str) -> dict[str, str]:
    """Return what ``networkctl`` and ``ip`` say, by file name, where both links are waited for and one is needed."""
    names = (needless, needed)
    waited = [
        {"Name": n, "Type": "ether", "AdministrativeState": "configured", "RequiredForOnline": True}
        for n in names
    ]
    own = [{"ifname": needed, "addr_info": [{"local": address}]}]
    return {"links.json": json.dumps({"Interfaces": waited}), "own.json": json.dumps(own)}
