# SPDX-License-Identifier: Apache-2.0
"""What a scenario declares about an Incus server: plain values, in Incus's words."""

import enum
from collections.abc import Mapping

import msgspec

from tidegate.core import ids

DEFAULT_PROJECT = "default"

Config = Mapping[str, str]
Devices = Mapping[str, Config]


class InstanceKind(enum.StrEnum):
    """The two types of instances, in the API's words."""

    CONTAINER = "container"
    VIRTUAL_MACHINE = "virtual-machine"


def instance_id(name: str, project: str = DEFAULT_PROJECT) -> ids.InstanceId:
    """Return the id of an instance."""
    return ids.InstanceId(ids.ProjectName(project), ids.InstanceName(name))


def instance_url(instance: ids.InstanceId) -> str:
    """Return the API's address of an instance; project default is left out."""
    suffix = "" if instance.project == DEFAULT_PROJECT else f"?project={instance.project}"
    return f"/1.0/instances/{instance.name}{suffix}"


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool of Incus. ``config`` as the API shows it; ``status`` while it can be mounted (facts/incus.md D54)."""

    name: str
    driver: str = "linstor"
    config: Config = {}
    description: str = ""
    status: str = "Created"

    @property
    def is_remote(self) -> bool:
        """True for the one driver that needs a storage front (facts/incus.md L9)."""
        return self.driver == "linstor"


class ProjectSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A project; ``features.storage.volumes`` says whose custom volumes its instances use (L23)."""

    name: str
    config: Config = {}

    @property
    def has_own_volumes(self) -> bool:
        """True when its custom volumes are its own and not those of project default."""
        return self.name == DEFAULT_PROJECT or self.config.get("features.storage.volumes") == "true"


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as it was before the scenario begins.

    Attributes:
        name: its name.
        project: its project.
        kind: container or virtual-machine.
        pool: the pool of its root disk; becomes its local device ``root``.
        config: local configuration, volatile keys included. ``volatile.last_state.power`` is RUNNING unless said.
        devices: further local devices by name.
        profile_config: what its profiles add to the configuration.
        profile_devices: what its profiles add to the devices.
        location: the member it lives on; None: this server.
        created_at: seconds since the epoch; None: an hour before the scenario.
        last_used_at: seconds since the epoch; None: a minute before.
        is_ephemeral: shown, never acted on.
        late_failures: how many of its starts fail after the storage is there (A21).
    """

    name: str
    project: str = DEFAULT_PROJECT
    kind: InstanceKind = InstanceKind.CONTAINER
    pool: str = "remote"
    config: Config = {}
    devices: Devices = {}
    profile_config: Config = {}
    profile_devices: Devices = {}
    location: str | None = None
    created_at: float | None = None
    last_used_at: float | None = None
    is_ephemeral: bool = False
    late_failures: int = 0

    @property
    def id(self) -> ids.InstanceId:
        """Project and name."""
        return instance_id(self.name, self.project)


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A custom volume. ``project`` is the effective one (L23)."""

    name: str
    pool: str
    project: str = DEFAULT_PROJECT
    content: str = "filesystem"


class MemberSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster member and its status as the cluster shows it: Online, Offline, Evacuated, Evacuating, Restoring, Blocked (R80)."""

    name: str
    status: str = "Online"


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An Incus server.

    Attributes:
        name: host name and, when clustered, member name.
        config: what GET /1.0 shows as config: global and local keys merged (R20).
        pools: its storage pools.
        projects: further projects; default is always there.
        instances: all instances, those of other members too.
        volumes: custom volumes.
        members: cluster members, this one included; none: standalone.
        cpus: parallelism of the autostart is a fourth of it, at least 1 (A4).
        epoch: seconds since the epoch when the virtual clock shows 0.
        is_verbose: incusd runs with --verbose: info lines reach the journal (G3).
        is_patch_pending: the first start after an upgrade, which needs all pools (D19b).
        has_db_dump: db.bin reflects the instances as declared (U4); False: it is missing.
    """

    name: str = "n1"
    config: Config = {}
    pools: tuple[PoolSpec, ...] = ()
    projects: tuple[ProjectSpec, ...] = ()
    instances: tuple[InstanceSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    members: tuple[MemberSpec, ...] = ()
    cpus: int = 2
    epoch: float = 1795411388.0
    is_verbose: bool = False
    is_patch_pending: bool = False
    has_db_dump: bool = True

    @property
    def is_clustered(self) -> bool:
        """True when it has members."""
        return bool(self.members)

    @property
    def location(self) -> str:
        """What ``location`` fields of its own things say (R41, R65)."""
        return self.name if self.is_clustered else "none"

    def project(self, name: str) -> ProjectSpec | None:
        """Return the project of that name; default needs no declaration."""
        declared = {project.name: project for project in self.projects}
        return declared.get(name) or (ProjectSpec(name=name) if name == DEFAULT_PROJECT else None)


class Refusal(msgspec.Struct, frozen=True):
    """Why Incus did not do something: the error text and its HTTP code. 503 ends an autostart at once (A7)."""

    text: str
    code: int = 500
