# SPDX-License-Identifier: Apache-2.0
"""What the Incus model asks of a storage model: mount the pool, make one volume usable.

Incus's ``linstor`` driver speaks REST to the controller and opens the device it is told; this protocol is the sum of both as Incus
sees it, so that the Incus model needs no HTTP and every reply carries the text that Incus would log (facts/incus.md 2.3, 6.3).
"""

from enum import StrEnum
from typing import Protocol

import msgspec


class VolumeKind(StrEnum):
    """Incus's own volume types, as in the property ``Aux/Incus/type`` (facts/incus.md 4.2)."""

    CONTAINERS = "containers"
    VIRTUAL_MACHINES = "virtual-machines"
    CUSTOM = "custom"
    IMAGES = "images"


class ContentType(StrEnum):
    """What a volume carries, as in the property ``Aux/Incus/content-type``."""

    FILESYSTEM = "filesystem"
    BLOCK = "block"


class IncusVolume(msgspec.Struct, frozen=True, kw_only=True):
    """One volume as Incus names it.

    Attributes:
        pool: name of the Incus pool (= LINSTOR resource group).
        kind: containers, virtual-machines, custom or images.
        name: Incus's storage name, with the project (``default`` is left out: ``c1``, ``web_c1``, custom ``default_data``), without
            LINSTOR's volume prefix.
        content: filesystem or block. Of a virtual machine, ``filesystem`` means its configuration volume (volume number 1).
    """

    pool: str
    kind: VolumeKind
    name: str
    content: ContentType = ContentType.FILESYSTEM


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """It worked.

    Attributes:
        took: seconds that the calls took; the caller goes on after them.
    """

    took: float = 0.0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It failed, as Incus would log it.

    Attributes:
        text: the value of ``err=``.
        unavailable: the pool is put on Incus's list of unavailable pools by this (``mount_pool`` only; a failed driver load,
            facts/incus.md 2.3, does not do that).
        took: seconds until it failed.
        panics: incusd does not log it but panics with this text (s10 in facts/observed.md).
    """

    text: str
    unavailable: bool = False
    took: float = 0.0
    panics: bool = False


class Hangs(msgspec.Struct, frozen=True, kw_only=True, tag="hangs"):
    """No answer, because Incus sets no time-out.

    Attributes:
        until: the moment (seconds of the virtual clock) when the caller should ask again, because the hindrance ends then or may
            have changed; None: nobody knows, ask again whenever the model has moved on.
    """

    until: float | None = None


Reply = Done | Failed | Hangs


class StorageFront(Protocol):
    """A storage backend as the Incus model meets it. All calls are instantaneous questions; time is in the reply."""

    def restarted(self) -> None:
        """A new incusd process begins: what the old one held (its LINSTOR client, calls under way) is gone."""
        ...

    def load_driver(self) -> Failed | None:
        """Load the driver, which looks at this host only: DRBD module, satellite's program. None: it loads.

        Asked often, and by reads of the API too: it must have no effect.
        """
        ...

    def mount_pool(self) -> Reply:
        """Load the driver and mount the pool: module and satellite binary there, controller answers, own node ONLINE."""
        ...

    def list_volumes(self) -> Reply:
        """List all the pool's volumes, as `recover/validate` does once the pool is mounted."""
        ...

    def prepare_volume(self, volume: IncusVolume) -> Reply:
        """Find the volume's resource, make it available on this node, ask for its device, open and mount it."""
        ...
