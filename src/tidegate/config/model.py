# SPDX-License-Identifier: Apache-2.0
"""The whole configuration as frozen values. Every field is a key of ``tidegate.toml``: section, then name.

A default of "" or () means "found from the host": see :mod:`tidegate.config.discover`.
"""

import enum
from collections.abc import Mapping
from typing import Annotated

import msgspec

from tidegate.config.policy import (
    BringupPolicy,
    GatePolicy,
    GuardPolicy,
    HealthPolicy,
    RecoveryPolicy,
)

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Use(enum.StrEnum):
    """Whether a source is asked."""

    AUTO = "auto"
    """Asked where the host has it."""
    OFF = "off"


class LogLevel(enum.StrEnum):
    """The least important message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This machine."""

    name: str = ""
    """Its name in LINSTOR. Found: Incus's ``storage.linstor.satellite.name``, its member name, the host name."""


class LinstorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the LINSTOR controllers are reached. The texts of certificates, key and password are never shown."""

    controllers: tuple[str, ...] = ()
    """URLs, in the order of preference. Never the guard's own address."""
    ca: str = ""
    """PEM text; ``ca_file`` is the path of a file that holds it. At most one of the two."""
    ca_file: str = ""
    """Path of the CA that signed the controllers' certificates; with it nothing else is trusted."""
    cert: str = ""
    """PEM text of our own certificate, for controllers that ask for one; ``cert_file`` is its path."""
    cert_file: str = ""
    """Path of our own certificate."""
    key: str = ""
    """PEM text of the key to it; ``key_file`` is its path."""
    key_file: str = ""
    """Path of the key to our certificate."""
    username: str = ""
    """For controllers that ask for a name and a password."""
    password: str = ""
    """The password; better in a file of its own: ``password_file``."""
    password_file: str = ""
    """Path of a file that holds the password."""
    token_file: str = ""
    """JSON with ``token``, as LINSTOR writes it, or the bare token (facts/linstor.md 10)."""
    deadline: Seconds = 5.0
    """Limit of one call."""
    connect_deadline: Seconds = 3.0
    """Limit of getting a connection, within ``deadline``."""

    def __repr__(self) -> str:
        return f"LinstorConfig(controllers={self.controllers!r}, …)"


class IncusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the Incus daemon of this host is reached."""

    use: Use = Use.AUTO
    """auto: asked where it is; off: never."""
    socket: str = ""
    """Path. Found: ``/run/incus/unix.socket``, else ``/var/lib/incus/unix.socket`` (facts/incus.md R1)."""
    deadline: Seconds = 5.0
    """Limit of one call."""


class SystemdConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which units this host calls what."""

    use: Use = Use.AUTO
    """auto: asked over D-Bus where this host runs systemd; off: never."""
    incus_unit: str = "incus.service"
    """The unit that runs incusd."""
    incus_socket_unit: str = "incus.socket"
    """Its socket."""
    incus_startup_unit: str = "incus-startup.service"
    """The unit that has incusd started at boot."""
    satellite_unit: str = "linstor-satellite.service"
    """This node's satellite."""
    controller_unit: str = "linstor-controller.service"
    """The controller, should it run on this host."""
    deadline: Seconds = 2.0
    """Limit of one call."""


class DrbdConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How DRBD's state is read."""

    use: Use = Use.AUTO
    """auto: asked where its module is; off: never."""
    drbdsetup: str = "drbdsetup"
    """The program: a name on the PATH, or a path."""
    deadline: Seconds = 3.0
    """Limit of one call of drbdsetup."""


class DevicesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How device files are looked at."""

    root: str = "/"
    """Put in front of every device path; another one than ``/`` is for tests and the demo."""
    deadline: Seconds = 2.0
    """Limit of opening one device: an open may block for ever."""


class HostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where this host's own facts are read."""

    root: str = "/"
    """Put in front of ``/sys`` and ``/usr``; another one than ``/`` is for tests and the demo."""
    satellite_port: Port = 3366
    """Where this node's satellite listens."""


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The supervisor."""

    state_dir: str = "/var/lib/tidegate"
    """What must last over reboots: the map of what is wanted, the history."""
    run_dir: str = "/run/tidegate"
    """The agent's socket."""
    poll_fast: Seconds = 0.25
    """Seconds between two looks at a source while something is waited for."""
    poll_rest: Seconds = 10.0
    """Seconds between two looks while all is well."""


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics, health and the status page over HTTP. They are always at ``web.sock`` in ``agent.run_dir``, for root alone."""

    listen: str = "off"
    """Where they are served over TCP as well: an address of this host and a port. Whoever reaches it may read names of volumes and
    instances; nothing can be changed there. ``127.0.0.1:13371`` is for this host alone."""
    names: tuple[str, ...] = ()
    """Names by which this host may be asked over TCP, besides addresses, ``localhost``, its host name and its name in LINSTOR. By other names a
    web page from elsewhere could have a browser ask."""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written to the log."""

    level: LogLevel = LogLevel.INFO


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that may be set, and where each value that was set comes from."""

    node: NodeConfig = NodeConfig()
    linstor: LinstorConfig = LinstorConfig()
    incus: IncusConfig = IncusConfig()
    systemd: SystemdConfig = SystemdConfig()
    drbd: DrbdConfig = DrbdConfig()
    devices: DevicesConfig = DevicesConfig()
    host: HostConfig = HostConfig()
    agent: AgentConfig = AgentConfig()
    health: HealthPolicy = HealthPolicy()
    recovery: RecoveryPolicy = RecoveryPolicy()
    gate: GatePolicy = GatePolicy()
    guard: GuardPolicy = GuardPolicy()
    bringup: BringupPolicy = BringupPolicy()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()
    origins: Mapping[str, str] = {}
    """Not a key: for each key that was set, the file, variable or option it was set by."""

    def origin(self, key: str) -> str:
        """Return who set ``key`` ("linstor.controllers"); "default" when nobody did."""
        return self.origins.get(key, "default")
