# SPDX-License-Identifier: Apache-2.0
"""Incus's words -> facts. Pure. Sources of the rules: facts/incus.md L6, L21-L29, A1, R20-R63."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tidegate.clients.incus import wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.core.facts import (
    IncusFacts,
    IncusPhase,
    InstanceFacts,
    NeededVolume,
    PoolFacts,
    WarningFacts,
)
from tidegate.core.ids import InstanceId, InstanceName, PoolName, ProjectName

DEFAULT_PREFIX: Final = "incus-volume-"
DEFAULT_PROJECT: Final = "default"
_SECRET: Final = frozenset({"ca_cert", "client_cert", "client_key"})
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_TYPES: Final = {"container": "containers", "virtual-machine": "virtual-machines"}


def server(
    found: wire.Server, *, phase: IncusPhase, member_status: str | None = None
) -> IncusFacts:
    """Return the daemon, with the configuration that matters to us and without certificates and keys."""
    environment = found.environment
    config = {
        key: value
        for key, value in (found.config or {}).items()
        if key == "core.https_address"
        or (key.startswith("storage.") and key.rpartition(".")[2] not in _SECRET)
    }
    return IncusFacts(
        phase=phase,
        version=environment.server_version,
        pid=environment.server_pid or None,
        server_name=environment.server_name,
        clustered=environment.server_clustered,
        member_status=member_status,
        drivers=tuple(filter(None, map(str.strip, environment.storage.split("|")))),
        config=config,
    )


def pools(
    found: Iterable[PoolAnswer], before: Mapping[str, PoolFacts] | None = None
) -> dict[str, PoolFacts]:
    """Return the pools by name. A pool that could not be loaded says nothing but why (D56): the rest stays as in ``before``."""
    known = before or {}
    return {answer.name: _pool(answer, known.get(answer.name)) for answer in found}


def projects(found: Iterable[wire.Project]) -> dict[str, bool]:
    """Return for each project whether it has custom volumes of its own (L23)."""
    return {
        project.name: (project.config or {}).get("features.storage.volumes", "").lower() in _TRUE
        for project in found
    }


def instances(
    found: Iterable[wire.Instance], *, own_volumes: Mapping[str, bool], member: str | None
) -> dict[str, InstanceFacts]:
    """Return the instances of this node by ``PROJECT/NAME``.

    ``own_volumes`` is what :func:`projects` returned; ``member`` is this cluster member's name, None on a standalone server.
    """
    facts = (
        _instance(instance, own_volumes)
        for instance in found
        if member is None or instance.location == member
    )
    return {str(instance.id): instance for instance in facts}


def warnings(found: Iterable[wire.Warning]) -> tuple[WarningFacts, ...]:
    """Return the warnings that are not resolved, in order of their ids."""
    kept = (warning for warning in found if warning.status != "resolved")
    return tuple(
        WarningFacts(
            uuid=warning.uuid,
            type=warning.type,
            status=warning.status,
            location=warning.location,
            entity_url=warning.entity_url,
            message=warning.last_message,
            last_seen_at=_epoch(warning.last_seen_at),
        )
        for warning in sorted(kept, key=lambda warning: warning.uuid)
    )


def volume_name(project: str, name: str, *, custom: bool = False) -> str:
    """Return the name by which Incus's storage knows a volume (L22, L23): ``default`` is left out, except for custom volumes."""
    return name if project == DEFAULT_PROJECT and not custom else f"{project}_{name}"


def _pool(answer: PoolAnswer, before: PoolFacts | None) -> PoolFacts:
    pool = answer.pool
    if pool is None:
        return PoolFacts(
            name=PoolName(answer.name),
            driver=before.driver if before else "",
            status=None,
            error=answer.trouble.text if answer.trouble else None,
            resource_group=before.resource_group if before else None,
            volume_prefix=before.volume_prefix if before else DEFAULT_PREFIX,
        )
    config = pool.config or {}
    group = config.get("linstor.resource_group.name") or config.get("source") or pool.name
    return PoolFacts(
        name=PoolName(pool.name),
        driver=pool.driver,
        status=pool.status,
        resource_group=group if pool.driver == "linstor" else None,
        volume_prefix=config.get("linstor.volume.prefix") or DEFAULT_PREFIX,
    )


def _instance(instance: wire.Instance, own_volumes: Mapping[str, bool]) -> InstanceFacts:
    local = instance.config or {}

    def option(key: str) -> str | None:
        return instance.option(key) or local.get(key) or None

    return InstanceFacts(
        id=InstanceId(ProjectName(instance.project), InstanceName(instance.name)),
        kind=instance.type,
        status=instance.status,
        location=instance.location,
        autostart=_word(option("boot.autostart")),
        last_power=option("volatile.last_state.power"),
        priority=_number(option("boot.autostart.priority")),
        delay=_number(option("boot.autostart.delay")),
        stateful_action=option("boot.host_shutdown_action") == "stateful-stop",
        created_at=_epoch(instance.created_at),
        last_used_at=_epoch(instance.last_used_at),
        needs=tuple(_needs(instance, own_volumes)),
        networks=tuple(sorted(_networks(instance))),
        addresses=tuple(sorted(_addresses(instance))),
    )


def _networks(instance: wire.Instance) -> set[str]:
    """Return the managed networks of its cards."""
    devices = (instance.expanded_devices or {}).values()
    return {device["network"] for device in devices if device.get("network")}


def _addresses(instance: wire.Instance) -> set[str]:
    """Return what was given to its cards by hand; an address by DHCP is not told in a listing."""
    devices = (instance.expanded_devices or {}).values()
    keys = ("ipv4.address", "ipv6.address")
    found = {device.get(key, "") for device in devices for key in keys}
    return found - {"", "none", "auto"}


def _needs(instance: wire.Instance, own_volumes: Mapping[str, bool]) -> Iterator[NeededVolume]:
    """Yield the volumes that lie in pools: the root disk, then custom volumes (L28)."""
    own = own_volumes.get(instance.project, True)
    for _, device in sorted(instance.disks()):
        pool = PoolName(device["pool"])
        if device.get("path") == "/":
            yield NeededVolume(
                pool=pool,
                type=_TYPES.get(instance.type, instance.type),
                name=volume_name(instance.project, instance.name),
            )
        elif source := device.get("source", "").partition("/")[0]:
            optional = {device.get("required", "").lower(), device.get("attached", "").lower()}
            project = instance.project if own else DEFAULT_PROJECT
            yield NeededVolume(
                pool=pool,
                type="custom",
                name=volume_name(project, source, custom=True),
                required=optional.isdisjoint(_FALSE),
            )


def _word(value: str | None) -> str | None:
    """Return Incus's many words for yes and no as ``true`` and ``false``."""
    if value is None:
        return None
    lower = value.lower()
    return "true" if lower in _TRUE else "false" if lower in _FALSE else lower


def _number(value: str | None) -> int | None:
    try:
        return int(value) if value is not None else None
    except ValueError:
        return None


def _epoch(moment: dt.datetime | None) -> float | None:
    """Return seconds since the epoch; None for "never", which Incus writes as a moment long ago."""
    if moment is None or moment.year <= 1970:
        return None
    return moment.timestamp()
