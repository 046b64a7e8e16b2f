# SPDX-License-Identifier: Apache-2.0
"""What Incus's ``err=`` texts mean (facts/incus.md 2.3, 4.6 and G20 to G26; facts/fullstack-observed.md)."""

import enum
import re
from typing import Final


class Wrong(enum.StrEnum):
    """Kinds of errors when a pool is mounted or an instance is started."""

    NODE_OFFLINE = "node-offline"
    NODE_UNKNOWN = "node-unknown"
    CONTROLLER_REFUSED = "controller-refused"
    CONTROLLER_UNREACHABLE = "controller-unreachable"
    CONTROLLER_TIMEOUT = "controller-timeout"
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


_RULES: Final = tuple(
    (re.compile(text, re.IGNORECASE), wrong)
    for text, wrong in (
        (r"no space left on device|disk quota exceeded", Wrong.DISK_FULL),
        (r"Node \S+ is offline", Wrong.NODE_OFFLINE),
        (r"Module not loaded", Wrong.MODULE_MISSING),
        (r"requires DRBD version|parse.*DRBD.*version", Wrong.MODULE_OLD),
        (r"satellite executable not found|LINSTOR satellite version", Wrong.SATELLITE_MISSING),
        (r"network is unreachable", Wrong.NETWORK_DOWN),
        (r"no such host|server misbehaving|dial tcp: lookup \S+", Wrong.CONTROLLER_NAME),
        (r"connection refused", Wrong.CONTROLLER_REFUSED),
        (r"no route to host|host is down|connection reset|: EOF", Wrong.CONTROLLER_UNREACHABLE),
        (
            r"i/o timeout|deadline exceeded|Client\.Timeout|connection timed out|TLS handshake timeout",
            Wrong.CONTROLLER_TIMEOUT,
        ),
        (r"x509|tls:|certificate|HTTP response to HTTPS", Wrong.CONTROLLER_TLS),
        (r"\b401\b|\b403\b|unauthori[sz]ed|access denied", Wrong.CONTROLLER_DENIED),
        (r"^open ?: no such file|\"\": no such file", Wrong.PATH_MISSING),
        (r"(?:open|stat) /dev/\S+: no such (?:file|device)", Wrong.DEVICE_MISSING),
        (r"no data available", Wrong.NO_DATA),
        (r"wrong medium type", Wrong.PEER_PRIMARY),
        (r"read-only file system", Wrong.READ_ONLY),
        (r"mount point busy|device or resource busy|already mounted", Wrong.BUSY),
        (
            r"Failed to mount .*(?:invalid argument|bad superblock|wrong fs|structure needs cleaning|bad message)|Failed probing filesystem",
            Wrong.NOT_MOUNTABLE,
        ),
        (r"input/output error", Wrong.IO_ERROR),
        (
            r"volume group .* (?:not found|does not exist)|no zpool|no such pool",
            Wrong.STORAGE_MISSING,
        ),
        (r"Resource definition not found|Multiple resource definitions", Wrong.RESOURCE_UNKNOWN),
        (r"Could not make resource available", Wrong.NOT_AVAILABLE),
        (r"Storage pool .*unavailable on this server", Wrong.POOL_UNAVAILABLE),
        (r"forklxc|lxc\.log|qemu|rootfs: lstat|liblxc", Wrong.NOT_STORAGE),
        (r"404 Not Found", Wrong.NODE_UNKNOWN),
        (r"Message: '|ApiCallError|\b50\d\b|cannot unmarshal", Wrong.CONTROLLER_ERROR),
        (r"no such file or directory", Wrong.DEVICE_MISSING),
    )
)
"""Tried in this order: the root of a chain of wrapped errors stands at its end, the more telling text wins."""

CONTROLLER: Final = frozenset(
    {
        Wrong.CONTROLLER_REFUSED,
        Wrong.CONTROLLER_UNREACHABLE,
        Wrong.CONTROLLER_TIMEOUT,
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

_DEVICE: Final = re.compile(r"/dev/(?P<device>drbd\d+|[\w/.-]{1,80})")


def classify(error: str) -> Wrong:
    """Return what an error text means."""
    for search, wrong in _RULES:
        if search.search(error):
            return wrong
    return Wrong.OTHER


def device_of(error: str) -> str:
    """Return the device that an error names (``drbd1002``); empty when it names none."""
    found = _DEVICE.search(error)
    return "" if found is None else found["device"]
