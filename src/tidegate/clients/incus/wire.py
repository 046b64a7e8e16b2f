# SPDX-License-Identifier: Apache-2.0
"""The shapes of Incus's API that we use; fields we do not know are ignored, null is as absent.

Closed words of Incus (status and the like) stay text: a later version may know more of them.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Config = dict[str, str] | None
Device = dict[str, str]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer is wrapped in (facts/incus.md R5)."""

    type: str
    status_code: int = 0
    error_code: int = 0
    error: str = ""
    operation: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"null")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """``environment`` of ``GET /1.0`` (R21)."""

    server_version: str = ""
    server_name: str = ""
    server_pid: int = 0
    """Changes with every start of the daemon."""
    server_clustered: bool = False
    storage: str = ""
    storage_version: str = ""
    kernel_version: str = ""
    os_name: str = ""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /1.0``: this member's view."""

    environment: Environment
    config: Config = None
    auth: str = ""
    """``trusted`` when we may see everything."""
    api_extensions: list[str] | None = None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool. ``status`` is this member's only when the member was named (D55)."""

    name: str
    driver: str
    status: str = ""
    description: str = ""
    config: Config = None
    locations: list[str] | None = None
    used_by: list[str] | None = None


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A storage volume of Incus's data base (R33)."""

    name: str
    """Without the project: ``project`` holds that."""
    type: str
    """container, virtual-machine, custom or image."""
    content_type: str = ""
    project: str = "default"
    location: str = ""
    config: Config = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance, as ``recursion=1`` shows it (R41)."""

    name: str
    project: str = "default"
    type: str = "container"
    status: str = ""
    status_code: int = 0
    location: str = "none"
    """Cluster member, ``none`` on a standalone server."""
    ephemeral: bool = False
    stateful: bool = False
    config: Config = None
    expanded_config: Config = None
    expanded_devices: dict[str, Device] | None = None
    created_at: dt.datetime | None = None
    last_used_at: dt.datetime | None = None

    def option(self, key: str) -> str | None:
        """A key of the configuration in force, profiles included; None when unset."""
        return (self.expanded_config or {}).get(key)

    def disks(self) -> Iterator[tuple[str, Device]]:
        """Name and keys of each disk device that lives in a storage pool (L28)."""
        for name, device in (self.expanded_devices or {}).items():
            if device.get("type") == "disk" and device.get("pool"):
                yield name, device


class Warning(msgspec.Struct, frozen=True, kw_only=True):  # noqa: A001 - Incus's word for it
    """One of Incus's warnings (R60)."""

    uuid: str
    type: str
    severity: str = ""
    status: str = ""
    count: int = 1
    location: str = ""
    project: str = ""
    entity_url: str = ""
    """Empty for the pool warning: only ``last_message`` names the pool (R62)."""
    last_message: str = ""
    first_seen_at: dt.datetime | None = None
    last_seen_at: dt.datetime | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A background operation (R51)."""

    id: str
    status: str = ""
    status_code: int = 0
    description: str = ""
    err: str = ""
    location: str = ""
    resources: dict[str, list[str]] | None = None
    may_cancel: bool = False

    @property
    def succeeded(self) -> bool:
        """It is over, and well."""
        return self.status_code == 200

    @property
    def is_over(self) -> bool:
        """Success, failure or cancelled: nothing more will come of it."""
        return self.status_code in {200, 400, 401}


class UnknownVolume(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A volume that a pool holds and Incus's data base does not know (D66)."""

    name: str = ""
    type: str = ""
    project: str = ""
    pool: str = ""
    snapshot_count: int = 0


class Validation(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What ``recover/validate`` found; the pool is mounted now (D62)."""

    unknown_volumes: list[UnknownVolume] | None = None
    dependency_errors: list[str] | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster (R80)."""

    server_name: str
    status: str = ""
    """Online, Offline, Evacuated, Evacuating, Restoring, Blocked."""
    message: str = ""
    url: str = ""
    roles: list[str] | None = None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project; ``features.storage.volumes`` decides how its custom volumes are named (L23)."""

    name: str
    config: Config = None


class EventEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every event is wrapped in (R72)."""

    type: str
    timestamp: dt.datetime | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    location: str = ""
    project: str = ""


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """``metadata`` of a lifecycle event."""

    action: str
    source: str = ""
    name: str = ""
    project: str = ""
    context: dict[str, Any] | None = None
    requestor: Mapping[str, Any] | None = None
    """Who asked; None for what the daemon did by itself, as its autostart (R76)."""


class Logging(msgspec.Struct, frozen=True, kw_only=True):
    """``metadata`` of a logging event; all levels come, whatever the daemon itself writes (R74)."""

    message: str
    level: str = ""
    context: dict[str, str] | None = None
