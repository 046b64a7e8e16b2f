# SPDX-License-Identifier: Apache-2.0
"""What Incus's ``err=`` texts mean (facts/incus.md 2.3, 4.6 and G20 to G26; facts/fullstack-observed.md)."""

import enum
import re
from collections.abc import Iterator
from typing import Final

from tidegate.boot.model import Event, Kind


class Wrong(enum.StrEnum):
    """Kinds of errors when a pool is mounted or an instance is started."""

    NODE_OFFLINE = "node-offline"
    NODE_UNKNOWN = "node-unknown"
    CONTROLLER_REFUSED = "controller-refused"
    CONTROLLER_UNREACHABLE = "controller-unreachable"
    CONTROLLER_TIMEOUT = "controller-timeout"
    CONTROLLER_HUNG = "controller-hung"
    CONTROLLER_NAME = "controller-name"
    CONTROLLER_TLS = "controller-tls"
    CONTROLLER_DENIED = "controller-denied"
    CONTROLLER_ERROR = "controller-error"
    NETWORK_DOWN = "network-down"
    MODULE_MISSING = "module-missing"
    MODULE_OLD = "module-old"
    SATELLITE_MISSING = "satellite-missing"
    POOL_UNAVAILABLE = "pool-unavailable"
    PATH_MISSING = "path-missing"
    DEVICE_MISSING = "device-missing"
    NO_DATA = "no-data"
    PEER_PRIMARY = "peer-primary"
    READ_ONLY = "read-only"
    NOT_MOUNTABLE = "not-mountable"
    BUSY = "busy"
    IO_ERROR = "io-error"
    DISK_FULL = "disk-full"
    RESOURCE_UNKNOWN = "resource-unknown"
    NOT_AVAILABLE = "not-available"
    STORAGE_MISSING = "storage-missing"
    NOT_STORAGE = "not-storage"
    """It began to run, storage was there: liblxc, QEMU, its own configuration."""
    OTHER = "other"


_OF_LINSTOR: Final = re.compile(
    r"linstor|/v1/|^(?:dial tcp|(?:Get|Post|Put|Delete) \")|^404 Not Found$|^Message: '|ApiCallError|Could not mount volume:",
    re.IGNORECASE,
)
"""Texts of the driver and of the library it asks the controller with: golinstor's are of ``GET "URL/v1/…"`` or LINSTOR's own answer."""
_OWN_DEVICE: Final = re.compile(
    r'^Failed (?:to start device|pre-start check for device|start validation for device|to add device) "(?P<name>[^"]+)"'
)
_OF_A_POOL: Final = re.compile(
    r"storage pool|storage volume|Could not mount volume|/dev/drbd\d", re.IGNORECASE
)
_VOLUME: Final = r"/dev/(?:drbd\d+|loop\d+|zd\d+|dm-\d+|zvol/|mapper/|drbd/|\S+_\d{5}\b)"
"""Devices that LINSTOR gives out; any other device of a start is the instance's own business."""

_ASKING: Final = tuple(
    (re.compile(text, re.IGNORECASE), wrong)
    for text, wrong in (
        (r"network is unreachable", Wrong.NETWORK_DOWN),
        (
            r"no such host|server misbehaving|dial tcp: lookup \S+|name resolution",
            Wrong.CONTROLLER_NAME,
        ),
        (r"connection refused", Wrong.CONTROLLER_REFUSED),
        (r"no route to host|host is down|connection reset|: EOF", Wrong.CONTROLLER_UNREACHABLE),
        (r"dial tcp .*(?:i/o timeout|timed out|deadline exceeded)", Wrong.CONTROLLER_TIMEOUT),
        (
            r"i/o timeout|deadline exceeded|Client\.Timeout|connection timed out|TLS handshake timeout",
            Wrong.CONTROLLER_HUNG,
        ),
        (r"x509|tls:|certificate|HTTP response to HTTPS", Wrong.CONTROLLER_TLS),
        (
            r"invalid character .* looking for|unexpected (?:end of JSON|EOF)|malformed HTTP|cannot unmarshal",
            Wrong.CONTROLLER_ERROR,
        ),
        (
            r"\b401\b|\b403\b|unauthori[sz]ed|access denied|Login failed|Bad credentials|sign.?in",
            Wrong.CONTROLLER_DENIED,
        ),
    )
)
"""What can go wrong between Incus and the controller; looked for only in texts that speak of it."""
_RULES: Final = tuple(
    (re.compile(text, re.IGNORECASE), wrong)
    for text, wrong in (
        (
            r"no space left on device|disk quota exceeded|database or disk is full",
            Wrong.DISK_FULL,
        ),
        (r"Node \S+ is offline", Wrong.NODE_OFFLINE),
        (r"Module not loaded", Wrong.MODULE_MISSING),
        (r"requires DRBD version|parse.*DRBD.*version", Wrong.MODULE_OLD),
        (r"satellite executable not found|LINSTOR satellite version", Wrong.SATELLITE_MISSING),
        (r"^open ?: no such file|\"\": no such file", Wrong.PATH_MISSING),
        (
            rf"(?:open|stat|mount|probing|flushing)\b.{{0,40}}{_VOLUME}.*no such (?:file|device)",
            Wrong.DEVICE_MISSING,
        ),
        (r"no data available", Wrong.NO_DATA),
        (r"wrong medium type", Wrong.PEER_PRIMARY),
        (r"read-only file system", Wrong.READ_ONLY),
        (r"mount point busy|device or resource busy|already mounted", Wrong.BUSY),
        (
            r"Failed to mount .*(?:invalid argument|bad superblock|wrong fs|structure needs cleaning|bad message)|Failed probing filesystem",
            Wrong.NOT_MOUNTABLE,
        ),
        (r"input/output error|I/O is currently suspended", Wrong.IO_ERROR),
        (
            r"volume group .* (?:not found|does not exist)|no zpool|no such pool|cannot import",
            Wrong.STORAGE_MISSING,
        ),
        (r"Resource definition not found|Multiple resource definitions", Wrong.RESOURCE_UNKNOWN),
        (r"Could not make resource available", Wrong.NOT_AVAILABLE),
        (r"Storage pool .*unavailable on this server", Wrong.POOL_UNAVAILABLE),
        (
            r"forklxc|lxc\.log|qemu|rootfs: lstat|liblxc|apparmor|cgroup|idmap|Invalid config|configuration key|/dev/(?:kvm|vfio|net/tun|vhost)",
            Wrong.NOT_STORAGE,
        ),
        (r"^404 Not Found$", Wrong.NODE_UNKNOWN),
        (r"Message: '|ApiCallError", Wrong.CONTROLLER_ERROR),
    )
)
"""Tried in this order: the root of a chain of wrapped errors stands at its end, the more telling text wins."""

CONTROLLER: Final = frozenset(
    {
        Wrong.CONTROLLER_REFUSED,
        Wrong.CONTROLLER_UNREACHABLE,
        Wrong.CONTROLLER_TIMEOUT,
        Wrong.CONTROLLER_HUNG,
        Wrong.CONTROLLER_NAME,
        Wrong.CONTROLLER_TLS,
        Wrong.CONTROLLER_DENIED,
        Wrong.CONTROLLER_ERROR,
        Wrong.NETWORK_DOWN,
    }
)
"""Errors of asking the controller, whatever was asked."""
DEVICE: Final = frozenset({Wrong.PATH_MISSING, Wrong.DEVICE_MISSING, Wrong.NO_DATA})
"""Errors that are normal while devices still come up."""

_OF_POOLS: Final = frozenset({Kind.POOL_LOAD_FAILED, Kind.POOL_MOUNT_FAILED})
_DEVICE: Final = re.compile(r"/dev/(?P<device>drbd\d+|[\w/.-]{1,80})")


def texts() -> Iterator[str]:
    """Yield the regexes by which errors are known."""
    yield from (one.pattern for one in (_OF_LINSTOR, _OWN_DEVICE, _OF_A_POOL))
    yield from (search.pattern for search, _ in (*_ASKING, *_RULES))


def of(event: Event) -> Wrong:
    """Return what the error of an event means."""
    return classify(event.detail, of_pool=event.kind in _OF_POOLS)


def classify(error: str, *, of_pool: bool = False) -> Wrong:
    """Return what an error text means; ``of_pool`` where Incus said it of a storage pool.

    A start fails for many reasons that have nothing to do with storage, in the same words of Go's (refused, no such file): what a device of
    the instance's own says is its own, and only a text that speaks of LINSTOR is taken for a fault on the way to the controller.
    """
    own = _OWN_DEVICE.search(error)
    if own is not None and own["name"] != "root" and not _OF_A_POOL.search(error):
        return Wrong.NOT_STORAGE
    asked = of_pool and not error.startswith(
        "Failed to run: "
    )  # programs of other drivers: zpool, rbd
    if asked or _OF_LINSTOR.search(error):
        for search, wrong in _ASKING:
            if search.search(error):
                return wrong
    for search, wrong in _RULES:
        if search.search(error):
            return wrong
    return Wrong.OTHER


def device_of(error: str) -> str:
    """Return the device that an error names (``drbd1002``); empty when it names none."""
    found = _DEVICE.search(error)
    return "" if found is None else found["device"]
