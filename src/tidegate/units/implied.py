# SPDX-License-Identifier: Apache-2.0
"""The dependencies of one unit: those that are written, and those that systemd adds by itself.

Sources: "Implicit Dependencies" and "Default Dependencies" in man systemd.unit(5), .service, .socket, .target, .mount, .timer,
.path, .slice, .swap, .automount, .exec, .resource-control; compared with what systemd 252 says of every unit of a Debian system
(tests/contract/units). What targets add to what they pull in needs both units; it is done in ``graph``.
"""

import enum
import posixpath
from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.units import names, parse
from tidegate.units.tree import Unit


class Kind(enum.StrEnum):
    """How a unit depends on another one."""

    AFTER = "After"
    BEFORE = "Before"
    REQUIRES = "Requires"
    REQUISITE = "Requisite"
    BINDS_TO = "BindsTo"
    WANTS = "Wants"
    UPHOLDS = "Upholds"
    CONFLICTS = "Conflicts"
    MOUNTS = "RequiresMountsFor"
    """``other`` is a path: of it and every directory above, the mount unit, where there is one."""
    WISHED_MOUNTS = "WantsMountsFor"
    """As ``RequiresMountsFor=``, but only wanted (systemd 256 and later)."""
    TRIGGERS = "Triggers"
    """Starts it on an event, never in a transaction: a socket its service."""


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """``unit`` depends on ``other``; ``why`` is the place it is written, or the rule that adds it."""

    unit: str
    kind: Kind
    other: str
    why: str


_DEFAULT: Final = "default"
_IMPLICIT: Final = "implicit"
_WRITTEN: Final = tuple(kind for kind in Kind if kind is not Kind.TRIGGERS)
_NETWORK_FS: Final = frozenset(
    {
        *(
            "afs",
            "ceph",
            "cifs",
            "smb3",
            "smbfs",
            "sshfs",
            "ncpfs",
            "ncp",
            "nfs",
            "nfs4",
            "gfs",
            "gfs2",
        ),
        *("glusterfs", "pvfs2", "ocfs2", "lustre", "davfs", "9p", "virtiofs", "beegfs", "orangefs"),
    }
)
_EXEC_DIRECTORIES: Final = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "ConfigurationDirectory": "/etc",
}
_NEED_WRITABLE_VAR: Final = ("StateDirectory", "CacheDirectory", "LogsDirectory")
_OUTPUTS_TO_JOURNAL: Final = frozenset({"journal", "kmsg", "syslog"})
_KERNELS: Final = ("/dev", "/proc", "/sys")
"""Where the kernel's own file systems are mounted: those units lie in the root slice."""
_SOCKET_PATHS: Final = (
    "ListenStream",
    "ListenDatagram",
    "ListenSequentialPacket",
    "ListenFIFO",
    "ListenSpecial",
    "ListenUSBFunction",
)
_SECTIONS: Final = {
    "service": "Service",
    "socket": "Socket",
    "mount": "Mount",
    "swap": "Swap",
}
"""Types that run processes, and the section that says how; these lie in a slice as well."""


def dependencies(unit: Unit) -> tuple[Dependency, ...]:
    """Return every dependency that ``unit`` declares or that its own files make systemd add."""
    return tuple(_all(unit))


def has_defaults(unit: Unit) -> bool:
    """Return whether ``DefaultDependencies=`` is left on; devices and slices of the kernel's making aside."""
    return unit.flag("Unit", "DefaultDependencies", default=True)


def _all(unit: Unit) -> Iterator[Dependency]:
    yield from _written(unit)
    makers = {
        "service": _service,
        "socket": _socket,
        "target": _target,
        "mount": _mount,
        "automount": _automount,
        "swap": _swap,
        "timer": _timer,
        "path": _path,
        "slice": _slice,
    }
    maker = makers.get(unit.kind)
    if maker is not None:
        yield from maker(unit)
    section = _SECTIONS.get(unit.kind)
    if section is not None and unit.path is not None:
        if _runs_processes(unit, section):
            yield from _execution(unit, section)
        yield from _in_slice(unit, section)


def _one(unit: Unit, kind: Kind, other: str, why: str) -> Dependency:
    return Dependency(unit=unit.name, kind=kind, other=other, why=why)


def _both(unit: Unit, first: Kind, second: Kind, other: str, why: str) -> Iterator[Dependency]:
    yield _one(unit, first, other, why)
    yield _one(unit, second, other, why)


def _written(unit: Unit) -> Iterator[Dependency]:
    for kind in _WRITTEN:
        for word, setting in unit.listed("Unit", kind.value):
            if kind in {Kind.MOUNTS, Kind.WISHED_MOUNTS} or names.kind(word):
                yield _one(unit, kind, word, f"{kind}= in {setting.place}")
    for word, setting in unit.listed("Unit", "BindTo"):
        yield _one(unit, Kind.BINDS_TO, word, f"BindTo= in {setting.place}")
    for pull in unit.pulls:
        yield _one(unit, Kind(pull.key), pull.other, pull.path)


def _start_of_system(unit: Unit) -> Iterator[Dependency]:
    yield from _both(unit, Kind.REQUIRES, Kind.AFTER, "sysinit.target", _DEFAULT)


def _end_of_system(unit: Unit) -> Iterator[Dependency]:
    yield from _both(unit, Kind.BEFORE, Kind.CONFLICTS, "shutdown.target", _DEFAULT)


def _service(unit: Unit) -> Iterator[Dependency]:
    if has_defaults(unit):
        yield from _start_of_system(unit)
        yield _one(unit, Kind.AFTER, "basic.target", _DEFAULT)
        yield from _end_of_system(unit)
    bus = unit.value("Service", "BusName")
    if unit.value("Service", "Type", "dbus" if bus else "simple") == "dbus":
        yield from _both(unit, Kind.REQUIRES, Kind.AFTER, "dbus.socket", _IMPLICIT)
    for word, setting in unit.listed("Service", "Sockets"):
        yield from _both(unit, Kind.WANTS, Kind.AFTER, word, f"Sockets= in {setting.place}")
        yield _one(unit, Kind.TRIGGERS, word, _IMPLICIT)


def _triggered(unit: Unit, section: str, key: str) -> str:
    """Return the unit that a socket, timer or path starts."""
    stem = unit.name.rpartition(".")[0]
    return unit.value(section, key, f"{stem}.service")


def _socket(unit: Unit) -> Iterator[Dependency]:
    if has_defaults(unit):
        yield _one(unit, Kind.BEFORE, "sockets.target", _DEFAULT)
        yield from _start_of_system(unit)
        yield from _end_of_system(unit)
    if not unit.flag("Socket", "Accept", default=False):
        service = _triggered(unit, "Socket", "Service")
        yield from _both(unit, Kind.BEFORE, Kind.TRIGGERS, service, _IMPLICIT)
    for key in _SOCKET_PATHS:
        for setting in unit.assignments("Socket", key):
            path = names.expand(setting.value, unit.name)
            if path.startswith("/"):
                yield _one(unit, Kind.MOUNTS, path, f"{key}= in {setting.place}")
    device = unit.value("Socket", "BindToDevice")
    if device:
        other = names.from_path(f"/sys/subsystem/net/devices/{device}", "device")
        yield from _both(unit, Kind.BINDS_TO, Kind.AFTER, other, _IMPLICIT)


def _target(unit: Unit) -> Iterator[Dependency]:
    if has_defaults(unit) and unit.name != "shutdown.target":
        yield from _end_of_system(unit)


def _timer(unit: Unit) -> Iterator[Dependency]:
    if has_defaults(unit):
        yield _one(unit, Kind.BEFORE, "timers.target", _DEFAULT)
        yield from _start_of_system(unit)
        if unit.assignments("Timer", "OnCalendar"):
            yield _one(unit, Kind.AFTER, "time-sync.target", _DEFAULT)
            yield _one(unit, Kind.AFTER, "time-set.target", _DEFAULT)
        yield from _end_of_system(unit)
    if unit.flag("Timer", "Persistent", default=False):
        yield _one(unit, Kind.MOUNTS, "/var/lib/systemd/timers", "Persistent=")
    triggered = _triggered(unit, "Timer", "Unit")
    yield from _both(unit, Kind.BEFORE, Kind.TRIGGERS, triggered, _IMPLICIT)


def _path(unit: Unit) -> Iterator[Dependency]:
    if has_defaults(unit):
        yield _one(unit, Kind.BEFORE, "paths.target", _DEFAULT)
        yield from _start_of_system(unit)
        yield from _end_of_system(unit)
    triggered = _triggered(unit, "Path", "Unit")
    yield from _both(unit, Kind.BEFORE, Kind.TRIGGERS, triggered, _IMPLICIT)
    for key in ("PathExists", "PathExistsGlob", "PathChanged", "PathModified", "DirectoryNotEmpty"):
        for setting in unit.assignments("Path", key):
            yield _one(unit, Kind.MOUNTS, setting.value, f"{key}= in {setting.place}")


def _slice(unit: Unit) -> Iterator[Dependency]:
    if unit.name == "-.slice":
        return
    stem = unit.name.removesuffix(".slice")
    parent = f"{stem.rpartition('-')[0] or '-'}.slice"
    yield from _both(unit, Kind.REQUIRES, Kind.AFTER, parent, _IMPLICIT)
    # system.slice is made by systemd itself, without default dependencies.
    if has_defaults(unit) and unit.name != "system.slice":
        yield from _end_of_system(unit)


def _mount(unit: Unit) -> Iterator[Dependency]:
    where = unit.value("Mount", "Where")
    what = unit.value("Mount", "What")
    options = unit.value("Mount", "Options").split(",")
    if unit.name == "-.mount" or not where:
        return
    yield _one(unit, Kind.MOUNTS, posixpath.dirname(where), _IMPLICIT)
    is_bind = "bind" in options or "rbind" in options
    if is_bind and what.startswith("/"):
        yield _one(unit, Kind.MOUNTS, what, _IMPLICIT)
    device = _device(what)
    if device and not is_bind:
        yield from _both(unit, Kind.BINDS_TO, Kind.AFTER, device, _IMPLICIT)
    if has_defaults(unit):
        yield from _defaults_of_mount(unit, options)


def _defaults_of_mount(unit: Unit, options: list[str]) -> Iterator[Dependency]:
    kind = unit.value("Mount", "Type")
    far = kind in _NETWORK_FS or "_netdev" in options
    yield from _both(unit, Kind.BEFORE, Kind.CONFLICTS, "umount.target", _DEFAULT)
    if far:
        yield from _both(unit, Kind.AFTER, Kind.WANTS, "network-online.target", _DEFAULT)
        yield _one(unit, Kind.AFTER, "network.target", _DEFAULT)
    if kind == "tmpfs":
        yield _one(unit, Kind.AFTER, "swap.target", _DEFAULT)
    yield _one(unit, Kind.AFTER, "remote-fs-pre.target" if far else "local-fs-pre.target", _DEFAULT)
    if "nofail" not in options:
        yield _one(unit, Kind.BEFORE, "remote-fs.target" if far else "local-fs.target", _DEFAULT)


def _automount(unit: Unit) -> Iterator[Dependency]:
    where = unit.value("Automount", "Where")
    mount = names.from_path(where, "mount") if where else f"{unit.name.rpartition('.')[0]}.mount"
    yield from _both(unit, Kind.BEFORE, Kind.TRIGGERS, mount, _IMPLICIT)
    if where:
        yield _one(unit, Kind.MOUNTS, posixpath.dirname(where), _IMPLICIT)
    if has_defaults(unit):
        yield _one(unit, Kind.BEFORE, "local-fs.target", _DEFAULT)
        yield _one(unit, Kind.AFTER, "local-fs-pre.target", _DEFAULT)
        yield from _both(unit, Kind.BEFORE, Kind.CONFLICTS, "umount.target", _DEFAULT)


def _swap(unit: Unit) -> Iterator[Dependency]:
    what = unit.value("Swap", "What")
    device = _device(what)
    if device:
        yield from _both(unit, Kind.BINDS_TO, Kind.AFTER, device, _IMPLICIT)
    elif what.startswith("/"):
        yield _one(unit, Kind.MOUNTS, what, _IMPLICIT)
        yield _one(unit, Kind.AFTER, "systemd-remount-fs.service", _IMPLICIT)
    if has_defaults(unit):
        yield _one(unit, Kind.BEFORE, "swap.target", _DEFAULT)
        yield from _both(unit, Kind.BEFORE, Kind.CONFLICTS, "umount.target", _DEFAULT)


def _device(what: str) -> str:
    """Return the device unit behind ``/dev/...``, ``UUID=...``, ``LABEL=...``; "" when it is no device."""
    tag, equals, rest = what.partition("=")
    folder = {
        "UUID": "uuid",
        "LABEL": "label",
        "PARTUUID": "partuuid",
        "PARTLABEL": "partlabel",
    }.get(tag)
    if equals and folder:
        return names.from_path(f"/dev/disk/by-{folder}/{rest.strip(chr(34))}", "device")
    return names.from_path(what, "device") if what.startswith("/dev/") else ""


def _runs_processes(unit: Unit, section: str) -> bool:
    """A socket runs processes only when it has commands of its own."""
    return unit.kind != "socket" or any(
        unit.assignments(section, f"Exec{step}")
        for step in ("StartPre", "StartPost", "StopPre", "StopPost")
    )


def _execution(unit: Unit, section: str) -> Iterator[Dependency]:
    """Dependencies of how processes are run (man systemd.exec(5), "Implicit Dependencies")."""
    yield from _paths_of_execution(unit, section)
    if any(unit.assignments(section, key) for key in _NEED_WRITABLE_VAR):
        yield _one(unit, Kind.AFTER, "systemd-remount-fs.service", _IMPLICIT)
    private = unit.value(section, "PrivateTmp")
    if parse.truth(private):
        yield from _both(unit, Kind.WANTS, Kind.AFTER, "tmp.mount", "PrivateTmp=")
        yield _one(unit, Kind.MOUNTS, "/var/tmp", "PrivateTmp=")  # noqa: S108 - a name in a rule
    if parse.truth(private) or private == "disconnected":
        yield _one(unit, Kind.AFTER, "systemd-tmpfiles-setup.service", "PrivateTmp=")
    output = unit.value(section, "StandardOutput", "journal")
    errors = unit.value(section, "StandardError", "inherit")
    if any(word.split("+")[0] in _OUTPUTS_TO_JOURNAL for word in (output, errors)):
        yield _one(unit, Kind.AFTER, "systemd-journald.socket", _IMPLICIT)
    namespace = unit.value(section, "LogNamespace")
    if namespace:
        for socket in (
            f"systemd-journald@{namespace}.socket",
            f"systemd-journald-varlink@{namespace}.socket",
        ):
            yield from _both(unit, Kind.REQUIRES, Kind.AFTER, socket, _IMPLICIT)


def _paths_of_execution(unit: Unit, section: str) -> Iterator[Dependency]:
    for key in ("WorkingDirectory", "RootDirectory", "RootImage"):
        path = unit.value(section, key).removeprefix("-")
        if path.startswith("/") and not unit.value(section, key).startswith("-"):
            yield _one(unit, Kind.MOUNTS, path, f"{key}=")
    for key, base in _EXEC_DIRECTORIES.items():
        for word, _ in unit.listed(section, key):
            yield _one(unit, Kind.MOUNTS, posixpath.join(base, word.split(":")[0]), f"{key}=")


def _in_slice(unit: Unit, section: str) -> Iterator[Dependency]:
    """The slice the unit lies in; instances lie in one of their template (man systemd.service(5), "Default Dependencies")."""
    prefix, instance, _ = names.parts(unit.name)
    usual = "system.slice"
    if unit.kind == "mount" and unit.value("Mount", "Where").startswith(_KERNELS):
        usual = "-.slice"
    elif instance:
        usual = f"system-{names.escape(prefix)}.slice"
    name = unit.value(section, "Slice", usual)
    yield from _both(unit, Kind.REQUIRES, Kind.AFTER, name, _IMPLICIT)
