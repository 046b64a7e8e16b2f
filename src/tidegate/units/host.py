# SPDX-License-Identifier: Apache-2.0
"""All that a plan is made from: what is known of a host, and what was asked for."""

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.config.policy import FailPolicy
from tidegate.units import deadlock
from tidegate.units.tree import Tree

READY_UNIT: Final = "tidegate-ready.service"
GUARD_UNIT: Final = "tidegate-guard.service"
GUARD_SOCKET: Final = "tidegate-guard.socket"
DEVICES_UNIT: Final = "tidegate-devices.service"
GUARD_URL: Final = "http://127.0.0.1:13370"
"""Where the guard listens for Incus (contract.md, "Processes and truth")."""
GUARD_ENVIRONMENT: Final = "/var/lib/tidegate/guard.env"
"""``LS_USERNAME=`` and ``LS_PASSWORD=`` for Incus, a line each. Root's alone: what stands in a unit file anybody may read over D-Bus."""
DEFAULT_LIMIT: Final = 300.0
"""Seconds the gate holds Incus at most (contract.md, safety 9)."""
LONGEST: Final = 86400.0


class Strategy(enum.StrEnum):
    """How instances are kept from storage that is not ready (design.md, section 5)."""

    GATE = "gate"
    """``incus.service`` waits for a bounded unit that proves what is wanted."""
    GUARD = "guard"
    """Incus starts at once; what it asks the controller is answered with the truth about this node."""
    ORDER = "order"
    """As the gate, and the satellite tells systemd itself when its first run is over: the circulating recipe made safe."""


class GuardAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How this node's Incus is sent to the guard; no secret is in it, only the place of one."""

    controllers: tuple[str, ...] = ()
    """The real controllers, to which Incus goes on when the guard refuses: ``LS_CONTROLLERS`` names them behind the guard. Empty
    where the cluster's own key names the guard: that key wins over the environment (facts/incus.md L40)."""
    secret_file: str = GUARD_ENVIRONMENT
    """Read as ``EnvironmentFile=-``; "" for none. Who makes the secret writes it, before it asks for this."""


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """A drop-in that another room wants (``tune apply``): written, recorded, verified and removed as all others."""

    unit: str
    topic: str
    """Names the file: ``60-tidegate-TOPIC.conf``; small letters and dashes."""
    why: str
    sections: Mapping[str, tuple[str, ...]]
    """Section to its lines."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. ``strategy`` None: choose. ``timeout``: seconds the gate holds Incus at most."""

    strategy: Strategy | None = None
    policy: FailPolicy = FailPolicy.OPEN
    timeout: float = DEFAULT_LIMIT
    order: bool = True
    """Order the boot; False: nobody asked for that, only for what stands below."""
    guard: GuardAccess | None = None
    """The guard is enabled; None: it is not."""
    devices: bool = False
    """Devices first is enabled."""
    additions: tuple[Addition, ...] = ()


class StoragePool(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool of LINSTOR on this node. ``provider`` in LINSTOR's words: LVM_THIN, ZFS, FILE_THIN, ..."""

    name: str
    provider: str
    directory: str = ""
    """Where a file-based pool keeps its volumes; "" for others, or when not known."""
    target: str = ""
    """Where that really is, when links lead elsewhere: systemd follows none for ``RequiresMountsFor=``."""

    @property
    def is_of_files(self) -> bool:
        """True for pools whose volumes are files in a directory."""
        return self.provider.startswith("FILE")

    @property
    def places(self) -> tuple[str, ...]:
        """The directories that must be mounted before the satellite looks at this pool."""
        if not self.is_of_files:
            return ()
        return tuple(dict.fromkeys(place for place in (self.directory, self.target) if place))


class IncusView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of Incus. None: not known."""

    listens: bool | None = None
    """``core.https_address`` is set: incus-startup then starts the daemon at every boot (facts/incus.md U2)."""
    clustered: bool | None = None
    volumes_on_linstor: tuple[str, ...] = ()
    """Keys like ``storage.images_volume`` that name a volume on a LINSTOR pool: fatal to incusd while it is away (D19)."""
    other_pools_wanted: bool | None = None
    """Instances that should run lie on pools that are not LINSTOR's: a gate holds them as well."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan rests on besides unit files; kept with what was applied.

    LINSTOR and Incus cannot be asked at any time, and a plan that is made meanwhile must not take back what was right when they could.
    """

    controller: deadlock.Controller = deadlock.Controller()
    storage_pools: tuple[StoragePool, ...] | None = None
    incus: IncusView = IncusView()


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host, as far as it is known. With nothing but ``tree`` known, the plan takes the careful way and says so."""

    tree: Tree
    systemd: int = 252
    controller: deadlock.Controller = deadlock.Controller()
    found: deadlock.Controller | None = None
    """Where the controller was found, when ``controller`` is what somebody said."""
    storage_pools: tuple[StoragePool, ...] | None = None
    incus: IncusView = IncusView()
    own_units: Mapping[str, str] = {}
    """Tidegate's own units, name to text, as they are or will be installed."""
    own_links: Mapping[str, str] = {}
    """Links that we made to enable them, as the record has them: path to target."""
    remembered: tuple[str, ...] = ()
    """What of the above could not be asked for now and is taken as it was kept; for people."""

    @property
    def known(self) -> Known:
        """What is to be kept of it."""
        controller = self.found or self.controller
        return Known(controller=controller, storage_pools=self.storage_pools, incus=self.incus)


def recalled(view: HostView, kept: Known) -> HostView:
    """Return ``view`` with what nobody could tell now taken from ``kept``, and with a word of that."""
    told: list[str] = []
    controller, pools, incus = view.controller, view.storage_pools, view.incus
    if controller.place is deadlock.Place.UNKNOWN and kept.controller.place is not controller.place:
        controller = kept.controller
        told.append(f"where the controller runs ({controller.place})")
    if pools is None and kept.storage_pools is not None:
        pools = kept.storage_pools
        told.append("LINSTOR's storage pools on this node")
    if incus.listens is None and kept.incus.listens is not None:
        others = incus.other_pools_wanted
        incus = kept.incus
        if others is not None:
            incus = msgspec.structs.replace(incus, other_pools_wanted=others)
        told.append("what Incus is set to")
    return msgspec.structs.replace(
        view,
        controller=controller,
        storage_pools=pools,
        incus=incus,
        remembered=(*view.remembered, *told),
    )
