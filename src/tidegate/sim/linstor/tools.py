# SPDX-License-Identifier: Apache-2.0
"""What a satellite says it supports: the tables behind ``storage_providers`` and ``resource_layers`` (recorded, Debian 12 and 13)."""

from typing import Any

_BUILT_IN = ["DISKLESS", "REMOTE_SPDK", "EBS_INIT", "EBS_TARGET"]
_UNKNOWN = "No information from satellite yet"


def _no_exec(command: str) -> str:
    program = command.split(maxsplit=1)[0]
    return (
        f"IO exception occurred when running '{command}': Cannot run program \"{program}\": "
        "Exec failed, error: 2 (No such file or directory) "
    )


_ZFS = ["'cat /sys/module/zfs/version' returned with exit code 1", _no_exec("zfs --version")]
_WINDOWS = ["This tool does not exist on the Linux platform."]
_PROVIDERS = {
    "SPDK": [_no_exec("rpc.py spdk_get_version")],
    "STORAGE_SPACES": _WINDOWS,
    "ZFS_THIN": _ZFS,
    "ZFS": _ZFS,
    "STORAGE_SPACES_THIN": _WINDOWS,
}

UNKNOWN: dict[str, Any] = {
    "storage_providers": _BUILT_IN,
    "resource_layers": ["STORAGE"],
    "unsupported_providers": {
        "LVM": [_UNKNOWN],
        "SPDK": [_UNKNOWN],
        "STORAGE_SPACES": [_UNKNOWN],
        "ZFS_THIN": [_UNKNOWN, _UNKNOWN],
        "ZFS": [_UNKNOWN, _UNKNOWN],
        "STORAGE_SPACES_THIN": [_UNKNOWN],
        "FILE_THIN": [_UNKNOWN],
        "FILE": [_UNKNOWN],
        "LVM_THIN": [_UNKNOWN],
    },
    "unsupported_layers": {
        "DRBD": [_UNKNOWN, _UNKNOWN],
        "LUKS": [_UNKNOWN],
        "NVME": [_UNKNOWN],
        "WRITECACHE": [_UNKNOWN],
        "CACHE": [_UNKNOWN],
        "BCACHE": [_UNKNOWN],
    },
}
"""As long as the peer has not authenticated: present, but only built-ins (facts/linstor-observed.md B)."""

_ALL_PROVIDERS = ["DISKLESS", "LVM", "LVM_THIN", "FILE", "FILE_THIN", *_BUILT_IN[1:]]
_MODULES = {
    "WRITECACHE": ["modprobe dm-writecache"],
    "CACHE": ["modprobe dm-cache"],
    "BCACHE": ["modprobe bcache"],
}

WITHOUT_DRBD: dict[str, Any] = {
    "storage_providers": _ALL_PROVIDERS,
    "resource_layers": ["LUKS", "STORAGE"],
    "unsupported_providers": _PROVIDERS,
    "unsupported_layers": {
        "DRBD": ["IOException occurred when checking the 'drbdadm --version'"] * 2,
        "NVME": [_no_exec("modprobe nvmet_rdma"), _no_exec("modprobe nvme_rdma")],
        **{layer: [_no_exec(c) for c in commands] for layer, commands in _MODULES.items()},
    },
    "platform": "LINUX",
    "os_variant": "Debian GNU/Linux 12 (bookworm)",
}
"""A machine without drbd-utils and kmod (the recordings in data/linstor)."""

WITH_DRBD: dict[str, Any] = {
    "storage_providers": _ALL_PROVIDERS,
    "resource_layers": ["DRBD", "LUKS", "WRITECACHE", "CACHE", "STORAGE"],
    "unsupported_providers": _PROVIDERS,
    "unsupported_layers": {
        "NVME": [_no_exec("nvme version")],
        "BCACHE": [_no_exec("make-bcache -h")],
    },
    "platform": "LINUX",
    "os_variant": "Debian GNU/Linux 13 (trixie)",
}
"""A machine with DRBD 9 (the recordings in data/fullstack)."""


def authenticated_details(known: dict[str, Any]) -> str:
    """The ``details`` of "Node 'x' authenticated": the same tables as prose."""
    providers = ", ".join(p.lower() for p in known["storage_providers"])
    layers = ", ".join(layer.lower() for layer in known["resource_layers"])
    text = f"Supported storage providers: [{providers}]\nSupported resource layers  : [{layers}]\n"
    text += "Unsupported storage providers:\n" + _reasons(_prose_order(known))
    return text + "\nUnsupported resource layers:\n" + _reasons(known["unsupported_layers"])


def _prose_order(known: dict[str, Any]) -> dict[str, list[str]]:
    order = ["ZFS", "ZFS_THIN", "SPDK", "STORAGE_SPACES", "STORAGE_SPACES_THIN"]
    return {name: known["unsupported_providers"][name] for name in order}


def _reasons(table: dict[str, list[str]]) -> str:
    lines = []
    for name, reasons in table.items():
        lines.append(f"    {name}: {reasons[0]}")
        lines += [" " * (6 + len(name)) + reason for reason in reasons[1:]]
    return "".join(f"{line}\n" for line in lines)
