# SPDX-License-Identifier: Apache-2.0
"""The JSON that the REST API shows: the world and one process in, plain dicts out (facts/incus.md section 5)."""

from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Daemon
from tidegate.sim.incus.events import timestamp
from tidegate.sim.incus.values import DEFAULT_PROJECT, InstanceKind, PoolSpec, ProjectSpec, Refusal
from tidegate.sim.incus.warnings import IncusWarning
from tidegate.sim.incus.world import InstanceRecord, World

Body = dict[str, object]

_STOPPED, _RUNNING, _ERROR = ("Stopped", 102), ("Running", 103), ("Error", 112)
_ON_BLOCKS = {"block.filesystem": "ext4", "block.mount_options": "discard"}
_ZERO_TIME = "0001-01-01T00:00:00Z"
_FEATURES = (
    "images",
    "networks",
    "networks.zones",
    "profiles",
    "storage.buckets",
    "storage.volumes",
)


def server(world: World, daemon: Daemon) -> Body:
    """GET /1.0 (R20-R22)."""
    spec = world.server
    versions = [_driver_version(driver) for driver in daemon.pools.drivers]
    return {
        "config": dict(world.config),
        "api_extensions": ["instances", "clustering", "projects", "warnings", "event_lifecycle"],
        "api_status": "stable",
        "api_version": "1.0",
        "auth": "trusted",
        "auth_methods": ["tls"],
        "auth_user_name": "root",
        "auth_user_method": "unix",
        "public": False,
        "environment": {
            "addresses": [],
            "architectures": ["x86_64", "i686"],
            "driver": "lxc | qemu",
            "driver_version": "6.0.4 | 10.0.3",
            "firewall": "nftables",
            "kernel": "Linux",
            "kernel_architecture": "x86_64",
            "kernel_version": "6.12.0",
            "os_name": "Debian GNU/Linux",
            "os_version": "13",
            "project": "default",
            "server": "incus",
            "server_clustered": spec.is_clustered,
            "server_event_mode": "full-mesh",
            "server_name": spec.name,
            "server_pid": daemon.pid,
            "server_version": "7.0.2",
            "storage": " | ".join(daemon.pools.drivers),
            "storage_version": " | ".join(versions),
            "storage_supported_drivers": [
                {"Name": driver, "Version": _driver_version(driver), "Remote": driver == "linstor"}
                for driver in daemon.pools.drivers
            ],
        },
    }


def _driver_version(driver: str) -> str:
    return "1.33.2 / 9.2.14" if driver == "linstor" else "1"


def pool_url(spec: PoolSpec) -> str:
    """Return the API's address of a pool."""
    return f"/1.0/storage-pools/{spec.name}"


def pool(world: World, daemon: Daemon, spec: PoolSpec, *, is_local: bool) -> Body | Refusal:
    """GET /1.0/storage-pools/NAME (R31). Unless ``is_local``, the status is the cluster's, which is Created (D55)."""
    problem = daemon.pools.load_failure(spec.name)
    if problem is not None:
        return Refusal(problem)
    is_missing = is_local and spec.name in daemon.pools.unavailable
    used_by = [
        values.instance_url(record.id) for record in _by_id(world) if record.spec.pool == spec.name
    ]
    members = [member.name for member in world.server.members] or ["none"]
    return {
        "name": spec.name,
        "driver": spec.driver,
        "description": spec.description,
        "status": "Unavailable" if is_missing else spec.status,
        "locations": members,
        "used_by": used_by,
        "config": dict(spec.config),
    }


def pools(world: World, daemon: Daemon) -> list[Body] | Refusal:
    """GET /1.0/storage-pools?recursion=1: one pool that does not load fails the list (D56)."""
    found = []
    for spec in world.server.pools:
        body = pool(world, daemon, spec, is_local=not world.server.is_clustered)
        if isinstance(body, Refusal):
            return body
        found.append(body)
    return found


def volumes(world: World, pool_name: str) -> list[Body]:
    """GET /1.0/storage-pools/NAME/volumes?recursion=1&all-projects=true: what the database knows (R33)."""
    found = []
    for record in _by_id(world):
        if record.spec.pool == pool_name:
            is_machine = record.spec.kind is InstanceKind.VIRTUAL_MACHINE
            found.append(
                _volume(
                    world,
                    name=record.spec.name,
                    kind=record.spec.kind,
                    content="block" if is_machine else "filesystem",
                    project=record.spec.project,
                    used_by=[values.instance_url(record.id)],
                    pool_name=pool_name,
                    created_at=timestamp(record.created_at),
                )
            )
    for spec in world.server.volumes:
        if spec.pool == pool_name:
            kind, used_by = "custom", _users(world, spec.name, pool_name)
            found.append(
                _volume(
                    world,
                    name=spec.name,
                    kind=kind,
                    content=spec.content,
                    project=spec.project,
                    used_by=used_by,
                    pool_name=pool_name,
                )
            )
    return found


def _volume(
    world: World,
    *,
    name: str,
    kind: str,
    content: str,
    project: str,
    used_by: list[str],
    pool_name: str,
    created_at: str = _ZERO_TIME,
) -> Body:
    """One volume. What lies on storage that all members share has no location (recording incus-api)."""
    is_remote = any(pool.name == pool_name and pool.is_remote for pool in world.server.pools)
    has_blocks = is_remote and content == "filesystem"
    return {
        "name": name,
        "type": kind,
        "content_type": content,
        "project": project,
        "location": "" if is_remote else world.server.location,
        "description": "",
        "config": dict(_ON_BLOCKS) if has_blocks else {},
        "used_by": used_by,
        "created_at": created_at,
    }


def _users(world: World, volume: str, pool_name: str) -> list[str]:
    return [
        values.instance_url(record.id)
        for record in _by_id(world)
        if any(
            device.get("source") == volume and device.get("pool") == pool_name
            for device in record.expanded_devices.values()
        )
    ]


def instance_status(world: World, record: InstanceRecord) -> tuple[str, int]:
    """Return status and code (R42); an instance of a member that is not there shows Error (R43)."""
    here = world.server.location
    if record.location != here:
        states = {member.name: member.status for member in world.server.members}
        if states.get(record.location) == "Offline":
            return _ERROR
        return _RUNNING if record.power == "RUNNING" else _STOPPED
    if record.is_in_error:
        return _ERROR
    return _RUNNING if record.id in world.running else _STOPPED


def instance(world: World, record: InstanceRecord) -> Body:
    """One instance as recursion=1 shows it (R41)."""
    status, code = instance_status(world, record)
    is_minimal = status == "Error" and record.location != world.server.location
    if is_minimal:
        config, devices, expanded, expanded_devices = {}, {}, {}, {}
    else:
        config, devices = dict(record.config), record.devices
        expanded, expanded_devices = record.expanded_config, dict(record.expanded_devices)
    return {
        "name": record.spec.name,
        "project": record.spec.project,
        "type": record.spec.kind,
        "status": status,
        "status_code": code,
        "location": record.location,
        "created_at": _ZERO_TIME if is_minimal else timestamp(record.created_at),
        "last_used_at": _ZERO_TIME if is_minimal else timestamp(record.last_used_at),
        "architecture": "x86_64",
        "config": config,
        "devices": devices,
        "expanded_config": expanded,
        "expanded_devices": expanded_devices,
        "profiles": ["default"],
        "ephemeral": record.spec.is_ephemeral,
        "stateful": record.is_stateful,
        "description": "",
    }


def instances(world: World, *, project: str | None) -> list[InstanceRecord]:
    """Return the instances of a project, or of all."""
    return [record for record in _by_id(world) if project in {None, record.spec.project}]


def _by_id(world: World) -> list[InstanceRecord]:
    return [world.instances[key] for key in sorted(world.instances)]


def warning(world: World, row: IncusWarning) -> Body:
    """One warning (R60)."""
    epoch = world.server.epoch
    return {
        "uuid": row.uuid,
        "type": row.type,
        "severity": row.severity,
        "status": row.status,
        "count": row.count,
        "location": world.server.location,
        "project": row.project,
        "entity_url": row.entity_url,
        "first_seen_at": timestamp(epoch + row.first_seen),
        "last_seen_at": timestamp(epoch + row.last_seen),
        "last_message": row.last_message,
    }


def projects(world: World) -> list[Body]:
    """GET /1.0/projects?recursion=1."""
    default = ProjectSpec(
        name=DEFAULT_PROJECT, config={f"features.{feature}": "true" for feature in _FEATURES}
    )
    declared = [spec for spec in world.server.projects if spec.name != DEFAULT_PROJECT]
    return [
        {
            "name": spec.name,
            "description": "Default Incus project" if spec.name == DEFAULT_PROJECT else "",
            "config": dict(spec.config),
            "used_by": [
                *(values.instance_url(record.id) for record in instances(world, project=spec.name)),
                f"/1.0/profiles/default{_of_project(spec.name)}",
            ],
        }
        for spec in [default, *declared]
    ]


def _of_project(name: str) -> str:
    return "" if name == DEFAULT_PROJECT else f"?project={name}"


def cluster(world: World) -> Body:
    """GET /1.0/cluster (R80)."""
    is_clustered = world.server.is_clustered
    name = world.server.name if is_clustered else ""
    return {"enabled": is_clustered, "server_name": name, "member_config": []}


def members(world: World) -> list[Body]:
    """GET /1.0/cluster/members?recursion=1 (R80)."""
    found: list[Body] = []
    for member in world.server.members:
        status = world.member_status if member.name == world.server.name else member.status
        found.append(
            {
                "server_name": member.name,
                "url": f"https://{member.name}:8443",
                "database": True,
                "status": status,
                "message": "Fully operational" if status == "Online" else status,
                "roles": ["database"],
                "failure_domain": "default",
                "description": "",
                "groups": ["default"],
                "config": {},
                "architecture": "x86_64",
            }
        )
    return found
