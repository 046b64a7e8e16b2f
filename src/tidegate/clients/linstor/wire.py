# SPDX-License-Identifier: Apache-2.0
"""The parts of LINSTOR's answers that we use, under LINSTOR's own names (REST 1.x).

LINSTOR omits whatever is null, "" or empty (facts/linstor.md 4.1), so every field is optional;
unknown fields are ignored, and words of closed sets stay text because new ones appear with
versions. Secrets in the answers (the DRBD shared secret) are not named here, so never decoded.
All of it is plain data that can form no cycles, hence gc=False: 5,000 resources are many objects.
"""

from typing import Annotated, Final

import msgspec

_TYPE_BITS: Final = 0xC000_0000_0000_0000
_ERROR: Final = 0xC000_0000_0000_0000
_WARNING: Final = 0x8000_0000_0000_0000
_CODE_BITS: Final = 0x7FFF

Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number of LINSTOR's, which is Java's: what is greater is damage, and would not fit into a float later."""


class ApiCallRc(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the answer to a call that changes something, or of an error."""

    ret_code: int = 0
    message: str = ""
    details: str = ""
    cause: str = ""
    correction: str = ""
    obj_refs: dict[str, str] = {}
    error_report_ids: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        """True for the type "error" in the two upper bits of the signed code (facts/linstor.md 4.1)."""
        return self.ret_code & _TYPE_BITS == _ERROR

    @property
    def is_warning(self) -> bool:
        """True for the type "warning": the call was done, with a reservation."""
        return self.ret_code & _TYPE_BITS == _WARNING

    @property
    def code(self) -> int:
        """The code without type, operation and object bits, for example 1002 = WARN_NOT_CONNECTED."""
        return self.ret_code & _CODE_BITS


class Version(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`/v1/controller/version`."""

    version: str = ""
    git_hash: str = ""
    build_time: str = ""
    rest_api_version: str = ""


class PassphraseStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`/v1/encryption/passphrase`: unset, locked or unlocked."""

    status: str = ""


class NetInterface(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An address of a node."""

    name: str = ""
    address: str = ""
    satellite_port: Long | None = None
    satellite_encryption_type: str = ""
    is_active: bool = False


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`/v1/nodes[/{node}]`; `eviction_timestamp` is in ms since the epoch.

    `storage_providers` and `resource_layers` hold built-in entries even before the satellite has
    authenticated: test for membership, never for presence (facts/linstor-observed.md B).
    """

    name: str = ""
    type: str = ""
    connection_status: str = "UNKNOWN"
    flags: tuple[str, ...] = ()
    props: dict[str, str] = {}
    net_interfaces: tuple[NetInterface, ...] = ()
    storage_providers: tuple[str, ...] = ()
    resource_layers: tuple[str, ...] = ()
    unsupported_providers: dict[str, tuple[str, ...]] = {}
    unsupported_layers: dict[str, tuple[str, ...]] = {}
    eviction_timestamp: Long | None = None
    uuid: str = ""


class DrbdVolumeDefinition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Number and minor of a DRBD volume; the minor is the same on all nodes."""

    volume_number: Long = 0
    minor_number: Long | None = None


class VolumeDefinitionLayer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one layer adds to a volume definition (only DRBD adds something we use)."""

    type: str = ""
    data: DrbdVolumeDefinition | None = None


class VolumeDefinition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume of a resource definition. `size_kib` is in KiB."""

    volume_number: Long = 0
    size_kib: Long | None = None
    flags: tuple[str, ...] = ()
    props: dict[str, str] = {}
    layer_data: tuple[VolumeDefinitionLayer, ...] = ()


class DefinitionLayer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The kind of one layer of a resource definition; its data holds the DRBD secret and is left out."""

    type: str = ""


class ResourceDefinition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`/v1/resource-definitions`. What Incus wrote is in `props` as Aux/Incus/… (facts/incus.md L21)."""

    name: str = ""
    resource_group_name: str = ""
    flags: tuple[str, ...] = ()
    props: dict[str, str] = {}
    layer_data: tuple[DefinitionLayer, ...] = ()
    volume_definitions: tuple[VolumeDefinition, ...] = ()
    uuid: str = ""


class LayerVolume(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume as one layer (DRBD, LUKS or STORAGE) sees it. Sizes in KiB; -1 = not known yet.

    `device_path` is what the controller remembers: absent after its restart, stale after a
    satellite's (facts/linstor-observed.md A6, facts/linstor.md 6.2).
    """

    volume_number: Long | None = None
    drbd_volume_definition: DrbdVolumeDefinition | None = None
    device_path: str | None = None
    backing_device: str | None = None
    meta_disk: str | None = None
    disk_state: str | None = None
    allocated_size_kib: Long | None = None
    usable_size_kib: Long | None = None
    opened: bool | None = None

    @property
    def number(self) -> int:
        """The volume number, wherever this layer puts it."""
        if self.drbd_volume_definition is not None:
            return self.drbd_volume_definition.volume_number
        return self.volume_number or 0


class Connection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A DRBD connection to one peer, as reported; `message` is DRBD's own word."""

    connected: bool = False
    message: str = ""


class DrbdLayer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The DRBD part of a placed resource. `connections` only after the satellite reported (4.5)."""

    node_id: Long | None = None
    flags: tuple[str, ...] = ()
    tcp_ports: tuple[int, ...] = ()
    drbd_volumes: tuple[LayerVolume, ...] = ()
    connections: dict[str, Connection] = {}
    promotion_score: Long | None = None
    may_promote: bool | None = None


class StorageLayer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The STORAGE part of a placed resource."""

    storage_volumes: tuple[LayerVolume, ...] = ()


class LuksLayer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The LUKS part of a placed resource."""

    luks_volumes: tuple[LayerVolume, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`/health`: whether the controller's services and data base work; `text` is its complaint."""

    is_ok: bool
    text: str = ""


class Layer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One layer of a placed resource, with the layers below it in `children`."""

    type: str = ""
    drbd: DrbdLayer | None = None
    luks: LuksLayer | None = None
    storage: StorageLayer | None = None
    children: tuple["Layer", ...] = ()

    def kinds(self) -> tuple[str, ...]:
        """The kinds of layer from the top along the data, for example ("DRBD", "LUKS", "STORAGE")."""
        found, layer = [self.type], self
        while layer.children:
            layer = layer.children[0]
            found.append(layer.type)
        return tuple(filter(None, found))

    def find_drbd(self) -> DrbdLayer | None:
        """The DRBD layer, wherever it is in the tree."""
        if self.drbd is not None:
            return self.drbd
        return next((found for child in self.children if (found := child.find_drbd())), None)


class ResourceState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the satellite reported of a resource; {} = reported, without DRBD (A12)."""

    in_use: bool | None = None


class EffectiveProp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A property in force with the level it was set on."""

    value: str = ""
    type: str = ""
    descr: str = ""


class ReplicationState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Replication of one volume to one peer, in DRBD's words; `done_percentage` of a resync."""

    replication_state: str = ""
    done_percentage: float | None = None


class VolumeState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the satellite reported of a volume; only with DRBD."""

    disk_state: str | None = None
    replication_states: dict[str, ReplicationState] = {}


class Volume(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume of a placed resource. `device_path` as in `LayerVolume`; `reports` from the last query.

    The same per layer is in `Resource.layer_object`; `layer_data_list` repeats it and is left out.
    """

    volume_number: Long = 0
    storage_pool_name: str = ""
    provider_kind: str = ""
    device_path: str | None = None
    allocated_size_kib: Long | None = None
    flags: tuple[str, ...] = ()
    props: dict[str, str] = {}
    state: VolumeState | None = None
    reports: tuple[ApiCallRc, ...] = ()


class Resource(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A resource placed on one node; `create_timestamp` is in ms since the epoch.

    `state` is None until its satellite has reported the resource since it connected (facts/
    linstor.md 3.5). `volumes` is filled by `view_resources` only.
    """

    name: str = ""
    node_name: str = ""
    flags: tuple[str, ...] = ()
    props: dict[str, str] = {}
    effective_props: dict[str, EffectiveProp] = {}
    layer_object: Layer | None = None
    state: ResourceState | None = None
    volumes: tuple[Volume, ...] = ()
    create_timestamp: Long | None = None
    uuid: str = ""


class StoragePool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A storage pool on one node. Capacities in KiB, absent while its satellite is away (4.6).

    The diskless pool says 9223372036854775807 (facts/linstor-observed.md A11).
    """

    storage_pool_name: str = ""
    node_name: str = ""
    provider_kind: str = ""
    props: dict[str, str] = {}
    static_traits: dict[str, str] = {}
    free_capacity: Long | None = None
    total_capacity: Long | None = None
    free_space_mgr_name: str = ""
    reports: tuple[ApiCallRc, ...] = ()
    uuid: str = ""
