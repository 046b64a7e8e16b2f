# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's words -> facts. Pure; tested on recordings of a real LINSTOR.

LINSTOR takes node names of any case for the same and shows each as it was first written (``GenericName`` in its sources); the host
may be called otherwise. So this node, ``own``, is always called as everything else here calls it.
"""

from collections.abc import Iterable
from typing import Final

from tidegate.clients.linstor import wire
from tidegate.core.facts import (
    ControllerFacts,
    DefinitionFacts,
    NodeFacts,
    PlacedVolume,
    PlacementFacts,
    StoragePoolFacts,
)
from tidegate.core.ids import NodeName, ResourceName, StoragePoolName

_QUORUM: Final = "DrbdOptions/Resource/quorum"
_SKIP_DISK: Final = "DrbdOptions/SkipDisk"
_POOL: Final = "StorPoolName"
_PLACE: Final = "StorDriver/StorPoolName"
_OLDER_PLACE: Final = "StorDriver/FileDir"
_NO_LAYER: Final = wire.Layer()


def controller(
    version: wire.Version,
    *,
    url: str,
    latency: float,
    configured: tuple[str, ...] = (),
    passphrase: str | None = None,
) -> ControllerFacts:
    """Return the controller that answered at ``url`` after ``latency`` seconds; ``configured`` are all that may be asked."""
    return ControllerFacts(
        url=url,
        version=version.version,
        rest_api_version=version.rest_api_version,
        latency=latency,
        configured=configured,
        passphrase=passphrase,
    )


def nodes(found: Iterable[wire.Node], own: str = "") -> dict[str, NodeFacts]:
    """Return all nodes by name; ``own`` is this one."""
    return {facts.name: facts for facts in (_node(node, own) for node in found)}


def storage_pools(found: Iterable[wire.StoragePool], node: NodeName) -> dict[str, StoragePoolFacts]:
    """Return the storage pools of ``node`` by name. Capacities are KiB, None while its satellite is away."""
    return {
        pool.storage_pool_name: StoragePoolFacts(
            name=StoragePoolName(pool.storage_pool_name),
            node=node,
            provider=pool.provider_kind,
            free_kib=pool.free_capacity,
            total_kib=pool.total_capacity,
            reports=tuple(_report(report) for report in pool.reports),
            backing=pool.props.get(_PLACE) or pool.props.get(_OLDER_PLACE) or "",
        )
        for pool in found
        if _called(pool.node_name, node) == node
    }


def definitions(found: Iterable[wire.ResourceDefinition]) -> dict[str, DefinitionFacts]:
    """Return all resource definitions by name, with what Incus wrote on them (facts/incus.md L21)."""
    return {
        definition.name: DefinitionFacts(
            name=ResourceName(definition.name),
            resource_group=definition.resource_group_name,
            aux_name=definition.props.get("Aux/Incus/name"),
            aux_type=definition.props.get("Aux/Incus/type"),
            aux_content=definition.props.get("Aux/Incus/content-type"),
            quorum=definition.props.get(_QUORUM),
            flags=definition.flags,
        )
        for definition in found
    }


def placements(found: Iterable[wire.Resource], own: str = "") -> tuple[PlacementFacts, ...]:
    """Return the placements of one resource, in order of node; ``own`` is this one.

    Works on the answers of ``…/resources`` (no ``volumes``, asks no satellite) and of ``view/resources`` alike: everything is
    taken from the layers.
    """
    told = (_placement(resource, own) for resource in found)
    return tuple(sorted(told, key=lambda placement: placement.node))


def _called(name: str, own: str) -> NodeName:
    return NodeName(own if name != own and name.casefold() == own.casefold() else name)


def _node(node: wire.Node, own: str) -> NodeFacts:
    ports = [net.satellite_port for net in node.net_interfaces if net.satellite_port is not None]
    active = [net.satellite_port for net in node.net_interfaces if net.is_active]
    return NodeFacts(
        name=_called(node.name, own),
        connection_status=node.connection_status,
        flags=node.flags,
        resource_layers=node.resource_layers,
        storage_providers=node.storage_providers,
        addresses=tuple(net.address for net in node.net_interfaces if net.address),
        satellite_port=next((port for port in [*active, *ports] if port is not None), None),
        unsupported=dict(node.unsupported_providers) | dict(node.unsupported_layers),
    )


def _report(report: wire.ApiCallRc) -> str:
    return f"{report.message} ({report.cause})" if report.cause else report.message


def _placement(resource: wire.Resource, own: str) -> PlacementFacts:
    top = resource.layer_object or _NO_LAYER
    drbd = top.find_drbd()
    pool = resource.props.get(_POOL) or _pool_of_volumes(resource)
    inherited = resource.effective_props.get(_SKIP_DISK) if resource.effective_props else None
    skip_disk = resource.props.get(_SKIP_DISK) or (inherited.value if inherited else "")
    connections = drbd.connections if drbd else {}
    return PlacementFacts(
        resource=ResourceName(resource.name),
        node=_called(resource.node_name, own),
        flags=resource.flags,
        layers=top.kinds(),
        storage_pool=StoragePoolName(pool) if pool else None,
        state_reported=resource.state is not None,
        in_use=resource.state.in_use if resource.state else None,
        promotion_score=drbd.promotion_score if drbd else None,
        may_promote=drbd.may_promote if drbd else None,
        connections=tuple(
            (NodeName(peer), connection.message) for peer, connection in sorted(connections.items())
        ),
        skip_disk=skip_disk.lower() == "true",
        volumes=_volumes(top, drbd),
    )


def _pool_of_volumes(resource: wire.Resource) -> str | None:
    names = (volume.storage_pool_name for volume in resource.volumes)
    return next((name for name in names if name), None)


def _volumes(top: wire.Layer, drbd: wire.DrbdLayer | None) -> tuple[PlacedVolume, ...]:
    """Return the volumes as the top layer names their devices; that is what Incus is told to open."""
    if drbd is not None and drbd is top.drbd:  # nearly always, and a view has thousands
        return tuple(map(_drbd_volume, sorted(drbd.drbd_volumes, key=_number)))
    minors = {v.number: v for v in drbd.drbd_volumes} if drbd else {}
    named = {volume.number: volume for volume in _layer_volumes(top)}
    numbers = named or minors or {volume.number: volume for volume in _bottom(top)}
    return tuple(
        PlacedVolume(
            number=number,
            device_path=(named[number].device_path or None) if number in named else None,
            minor=_minor(minors.get(number)),
            backing_device=minors[number].backing_device if number in minors else None,
        )
        for number in sorted(numbers)
    )


def _drbd_volume(volume: wire.LayerVolume) -> PlacedVolume:
    return PlacedVolume(
        number=volume.number,
        device_path=volume.device_path or None,
        minor=_minor(volume),
        backing_device=volume.backing_device,
    )


def _number(volume: wire.LayerVolume) -> int:
    return volume.number


def _layer_volumes(layer: wire.Layer) -> tuple[wire.LayerVolume, ...]:
    if layer.drbd is not None:
        return layer.drbd.drbd_volumes
    if layer.luks is not None:
        return layer.luks.luks_volumes
    return layer.storage.storage_volumes if layer.storage is not None else ()


def _bottom(layer: wire.Layer) -> tuple[wire.LayerVolume, ...]:
    """Return the volumes of the lowest layer: they tell the numbers where the top is a layer whose form we do not know."""
    return _bottom(layer.children[0]) if layer.children else _layer_volumes(layer)


def _minor(volume: wire.LayerVolume | None) -> int | None:
    if volume is None or volume.drbd_volume_definition is None:
        return None
    return volume.drbd_volume_definition.minor_number
