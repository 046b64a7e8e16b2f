# SPDX-License-Identifier: Apache-2.0
"""Names as distinct types, so that a pool of Incus is never taken for a storage pool of LINSTOR."""

import enum
from typing import NewType, Self

import msgspec

NodeName = NewType("NodeName", str)
"""A node as LINSTOR names it."""
ResourceName = NewType("ResourceName", str)
"""A LINSTOR resource definition, for example ``incus-volume-4df9f0598bd14d73953151614428d298``."""
StoragePoolName = NewType("StoragePoolName", str)
"""A storage pool of LINSTOR."""
PoolName = NewType("PoolName", str)
"""A storage pool of Incus."""
ProjectName = NewType("ProjectName", str)
InstanceName = NewType("InstanceName", str)
UnitName = NewType("UnitName", str)
AGENT_UNIT = UnitName("tidegate-agent.service")
BootId = NewType("BootId", str)


class VolumeId(msgspec.Struct, frozen=True, order=True):
    """One volume of a LINSTOR resource: written ``RD/NR``."""

    resource: ResourceName
    number: int

    def __str__(self) -> str:
        return f"{self.resource}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``RD/NR``. Raises ValueError when ``text`` is not of that form."""
        resource, slash, number = text.rpartition("/")
        if not slash or not resource or not number.isdecimal():
            raise ValueError(f"{text!r} is not a volume: write RESOURCE/NUMBER")
        return cls(ResourceName(resource), int(number))


class InstanceId(msgspec.Struct, frozen=True, order=True):
    """One instance of Incus: written ``PROJECT/NAME``."""

    project: ProjectName
    name: InstanceName

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


class SubjectKind(enum.StrEnum):
    """What a finding can be about, from the ground up (``docs/architecture.md``, the chain)."""

    HOST = "host"
    CONTROLLER = "controller"
    SATELLITE = "satellite"
    STORAGE_POOL = "storage-pool"
    VOLUME = "volume"
    INCUS = "incus"
    POOL = "pool"
    INSTANCE = "instance"

    @property
    def is_single(self) -> bool:
        """True for kinds of which a node has exactly one, and which therefore carry no name."""
        return self in _SINGLE

    @property
    def depth(self) -> int:
        """Place in the chain: 0 is the ground (host); a cause never lies higher than its effect."""
        return _CHAIN.index(self)


_SINGLE = frozenset(
    {SubjectKind.HOST, SubjectKind.CONTROLLER, SubjectKind.SATELLITE, SubjectKind.INCUS}
)
_CHAIN = tuple(SubjectKind)


class Subject(msgspec.Struct, frozen=True, order=True):
    """What a finding is about: ``controller``, ``volume/RD/NR``, ``pool/NAME``, ``instance/PROJECT/NAME`` and so on."""

    kind: SubjectKind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a subject as a person types it. Raises ValueError, saying what is allowed."""
        head, _, name = text.partition("/")
        try:
            kind = SubjectKind(head)
        except ValueError:
            raise ValueError(
                f"{text!r} is not a subject: it begins with one of {', '.join(SubjectKind)}"
            ) from None
        if kind.is_single == bool(name):
            shape = str(kind) if kind.is_single else f"{kind}/…"
            raise ValueError(f"{text!r} is not a subject: write {shape}")
        if kind is SubjectKind.INSTANCE and "/" not in name:
            name = f"default/{name}"
        if kind is SubjectKind.VOLUME:
            VolumeId.parse(name)
        return cls(kind, name)


HOST = Subject(SubjectKind.HOST)
CONTROLLER = Subject(SubjectKind.CONTROLLER)
SATELLITE = Subject(SubjectKind.SATELLITE)
INCUS = Subject(SubjectKind.INCUS)


def storage_pool(name: StoragePoolName) -> Subject:
    """Return the subject of a storage pool of LINSTOR on this node."""
    return Subject(SubjectKind.STORAGE_POOL, name)


def volume(volume_id: VolumeId) -> Subject:
    """Return the subject of a volume on this node."""
    return Subject(SubjectKind.VOLUME, str(volume_id))


def pool(name: PoolName) -> Subject:
    """Return the subject of a pool of Incus."""
    return Subject(SubjectKind.POOL, name)


def instance(instance_id: InstanceId) -> Subject:
    """Return the subject of an instance."""
    return Subject(SubjectKind.INSTANCE, str(instance_id))
