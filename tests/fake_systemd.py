# SPDX-License-Identifier: Apache-2.0
"""A private bus (a real dbus-daemon) and a systemd on it that tests can make do things."""

import asyncio
from pathlib import Path
from typing import Any

import jeepney
from jeepney.low_level import HeaderFields, Message

from tidegate.clients.systemd import bus, manager

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class Daemon:
    """A dbus-daemon of our own, to be killed when a test wants it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.address = address
        self._config = folder / "bus.conf"
        self._config.write_text(CONFIG.format(address=address))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "dbus-daemon",
            f"--config-file={self._config}",
            "--nofork",
            "--print-address=1",
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            await self._process.stdout.readline()

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.communicate()


UNIT = {
    "LoadState": ("s", "loaded"),
    "ActiveState": ("s", "inactive"),
    "SubState": ("s", "dead"),
    "UnitFileState": ("s", "indirect"),
    "FragmentPath": ("s", "/usr/lib/systemd/system/incus.service"),
    "DropInPaths": ("as", ["/etc/systemd/system/incus.service.d/60-tidegate-gate.conf"]),
    "NeedDaemonReload": ("b", False),
    "Job": ("(uo)", (0, "/")),
    "ActiveEnterTimestampMonotonic": ("t", 0),
    "ActiveExitTimestampMonotonic": ("t", 0),
    "InactiveExitTimestampMonotonic": ("t", 1_549_000),
    "InactiveEnterTimestampMonotonic": ("t", 0),
}
SERVICE = {
    "Type": ("s", "simple"),
    "Result": ("s", "success"),
    "NRestarts": ("u", 2),
    "MainPID": ("u", 290),
    "ExecMainStartTimestampMonotonic": ("t", 1_600_000),
    "TimeoutStartUSec": ("t", 600_000_000),
    "Environment": ("as", ["LS_CONTROLLERS=10.0.0.1:3370"]),
    "EnvironmentFiles": ("a(sb)", [("/etc/default/incus", False), ("/etc/environment", True)]),
}


class FakeSystemd:
    """Serves the Manager object and one unit per name; ``units`` may be changed by a test."""

    def __init__(self) -> None:
        self.units: dict[str, dict[str, tuple[str, Any]]] = {"incus.service": {**UNIT, **SERVICE}}
        self.system_state = "running"
        self.started: list[tuple[str, str]] = []
        self.reloads = 0
        self.subscribed = False
        self.hangs = False
        self.refuses: str | None = None
        self._bus: bus.Bus | None = None

    async def serve(self, address: str) -> None:
        self._bus = await bus.connect(address, deadline=20, handler=self.handle)
        await self._bus.request_name(manager.NAME, deadline=20)

    async def close(self) -> None:
        if self._bus is not None:
            await self._bus.close()

    def path(self, name: str) -> str:
        escaped = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in name)
        return f"{manager.PATH}/unit/{escaped}"

    def handle(self, message: Message) -> Message | None:
        fields = message.header.fields
        member, path = fields[HeaderFields.member], fields[HeaderFields.path]
        if self.hangs:  # it takes the question and says nothing that would be an answer
            return jeepney.new_signal(
                jeepney.DBusAddress("/", interface="org.tidegate.Nothing"), "Nothing"
            )
        if self.refuses:
            return jeepney.new_error(message, self.refuses, "s", ("Access denied",))
        if member == "LoadUnit":
            return jeepney.new_method_return(message, "o", (self.path(message.body[0]),))
        if member == "StartUnit":
            if message.body[0] not in self.units:
                name = f"{manager.NAME}.NoSuchUnit"
                return jeepney.new_error(
                    message, name, "s", (f"Unit {message.body[0]} not found.",)
                )
            self.started.append(message.body)
            return jeepney.new_method_return(message, "o", (f"{manager.PATH}/job/7",))
        if member == "Reload":
            self.reloads += 1
            return jeepney.new_method_return(message)
        if member == "Subscribe":
            self.subscribed = True
            return jeepney.new_method_return(message)
        if member == "Get":
            return jeepney.new_method_return(message, "v", (("s", self.system_state),))
        if member == "GetAll":
            return jeepney.new_method_return(message, "a{sv}", (self._all(path, message.body[0]),))
        return None

    def _all(self, path: str, interface: str) -> dict[str, tuple[str, Any]]:
        known = {self.path(name): properties for name, properties in self.units.items()}
        missing = {**UNIT, "LoadState": ("s", "not-found"), "FragmentPath": ("s", "")}
        properties = known.get(path, missing)
        wanted = UNIT if interface.endswith(".Unit") else SERVICE
        return {key: value for key, value in properties.items() if key in wanted}

    def change(self, name: str, **properties: tuple[str, Any]) -> None:
        """Change properties of a unit and tell, as systemd does."""
        self.units[name].update(properties)
        assert self._bus is not None
        self._bus.emit(
            self.path(name),
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            "sa{sv}as",
            (f"{manager.NAME}.Unit", properties, []),
        )

    def tell(self, member: str, signature: str, *body: Any) -> None:
        assert self._bus is not None
        self._bus.emit(manager.PATH, f"{manager.NAME}.Manager", member, signature, body)
