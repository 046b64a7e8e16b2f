# SPDX-License-Identifier: Apache-2.0
"""What the controller keeps in its data base, and what it remembers only while it runs (device paths).

Plain mutable records: :func:`to_bytes` and :func:`from_bytes` carry the data base over to another process, as the boot lab's
seed does. The controller's memory (``VolumePlacement.device_path``) is not carried, just as with the real one (facts/linstor.md 6.2).
"""

import random
import uuid

import msgspec

FIRST_MINOR = 1000
FIRST_PORT = 7000
DISKLESS_POOL = "DfltDisklessStorPool"
DEFAULT_GROUP = "DfltRscGrp"


class Node(msgspec.Struct, kw_only=True):
    """A registered satellite node."""

    name: str
    address: str
    uuid: str
    netif_uuid: str
    props: dict[str, str] = {}
    flags: list[str] = []


class Pool(msgspec.Struct, kw_only=True):
    """A storage pool on one node; sizes in KiB, None until its satellite has told them."""

    name: str
    node: str
    kind: str
    uuid: str
    props: dict[str, str] = {}
    free_kib: int = 0
    total_kib: int = 0

    @property
    def thin(self) -> bool:
        """Thin pools are asked for their free space on every listing (facts/linstor.md 4.2)."""
        return self.kind in ("LVM_THIN", "ZFS_THIN", "FILE_THIN", "DISKLESS")


class SelectFilter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a group's resources are placed."""

    place_count: int | None = None
    storage_pool: str | None = None
    storage_pool_list: list[str] = []
    layer_stack: list[str] = []


class Group(msgspec.Struct, kw_only=True):
    """A resource group."""

    name: str
    uuid: str
    description: str = ""
    props: dict[str, str] = {}
    select_filter: SelectFilter = msgspec.field(default_factory=SelectFilter)


class VolumeDefinition(msgspec.Struct, kw_only=True):
    """One volume of a definition; ``minor`` only with DRBD."""

    number: int
    size_kib: int
    uuid: str
    minor: int | None = None
    props: dict[str, str] = {}


class Snapshot(msgspec.Struct, kw_only=True):
    """A snapshot of a definition on the nodes that held it."""

    name: str
    uuid: str
    nodes: list[str]
    sizes_kib: list[int]
    props: dict[str, str] = {}
    created_ms: int = 0


class Definition(msgspec.Struct, kw_only=True):
    """A resource definition. ``clone_of`` names the source while, and after, it was cloned; ``cloning`` while it is."""

    name: str
    group: str
    uuid: str
    props: dict[str, str] = {}
    layers: list[str] = []
    port: int = 0
    secret: str = ""
    volumes: list[VolumeDefinition] = []
    snapshots: list[Snapshot] = []
    signatures: list[str] = []
    clone_of: str = ""
    cloning: bool = False

    @property
    def drbd(self) -> bool:
        """True if DRBD is one of its layers."""
        return "DRBD" in self.layers


class VolumePlacement(msgspec.Struct, kw_only=True):
    """One volume of a placed resource; the path is the controller's memory, None = it was never told (6.2)."""

    number: int
    uuid: str
    pool: str
    device_path: str | None = None


class Placement(msgspec.Struct, kw_only=True):
    """A resource: a definition placed on a node."""

    definition: str
    node: str
    uuid: str
    node_id: int
    flags: list[str] = []
    props: dict[str, str] = {}
    created_ms: int = 0
    volumes: list[VolumePlacement] = []
    crashed: bool = False

    @property
    def diskless(self) -> bool:
        """True for a client or a tie-breaker."""
        return "DISKLESS" in self.flags


class Data(msgspec.Struct, kw_only=True):
    """Everything in the data base."""

    nodes: dict[str, Node] = {}
    pools: list[Pool] = []
    groups: dict[str, Group] = {}
    definitions: dict[str, Definition] = {}
    placements: list[Placement] = []


class Store:
    """The data base with its look-ups; identities come from the seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}/identities")
        self.data = Data()
        self.changed = 0

    def new_uuid(self) -> str:
        """A fresh UUID from the seed."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def new_secret(self) -> str:
        """A fresh shared secret of DRBD's form, from the seed."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(self._rng.choice(letters) for _ in range(20))

    def new_gi(self) -> str:
        """A fresh DRBD generation identifier, from the seed."""
        return f"{self._rng.getrandbits(64) & ~1:016X}"

    def free_minor(self) -> int:
        """The lowest free DRBD minor."""
        used = {v.minor for d in self.data.definitions.values() for v in d.volumes}
        return next(m for m in range(FIRST_MINOR, 50_000) if m not in used)

    def free_port(self) -> int:
        """The lowest free DRBD port."""
        used = {d.port for d in self.data.definitions.values()}
        return next(p for p in range(FIRST_PORT, 8_000) if p not in used)

    def pool(self, name: str, node: str) -> Pool | None:
        """One pool on one node."""
        return next((p for p in self.data.pools if p.name == name and p.node == node), None)

    def placement(self, definition: str, node: str) -> Placement | None:
        """One placed resource."""
        return next(
            (p for p in self.data.placements if p.definition == definition and p.node == node),
            None,
        )

    def placements(self, *, definition: str = "", node: str = "") -> list[Placement]:
        """Placed resources, by definition and node names, in that order (the device manager's order, too)."""
        found = (
            p
            for p in self.data.placements
            if definition in ("", p.definition) and node in ("", p.node)
        )
        return sorted(found, key=lambda p: (p.definition, p.node))

    def backing(self, placement: Placement, number: int) -> str:
        """The path of the storage layer's device or file, by the provider's rule (facts/linstor.md 6.1)."""
        pool = self.pool(placement.volumes[number].pool, placement.node)
        kind = pool.kind if pool else "DISKLESS"
        name = f"{placement.definition}_{number:05d}"
        below = pool.props.get("StorDriver/StorPoolName", "") if pool else ""
        if kind.startswith("LVM"):
            return f"/dev/{below.split('/')[0]}/{name}"
        if kind.startswith("ZFS"):
            return f"/dev/zvol/{below}/{name}"
        return f"{below}/{name}.img"

    def to_bytes(self) -> bytes:
        """The data base as JSON, without the controller's memory."""
        plain = msgspec.to_builtins(self.data)
        for placement in plain["placements"]:
            for volume in placement["volumes"]:
                volume["device_path"] = None
        return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"

    def from_bytes(self, raw: bytes) -> None:
        """Take over a data base. Raises msgspec.ValidationError if it is none."""
        self.data = msgspec.json.decode(raw, type=Data)
        self.changed += 1
