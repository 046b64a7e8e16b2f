# SPDX-License-Identifier: Apache-2.0
"""This machine: DRBD's module, the satellite's program, the satellite's port. Reads files only, asks nobody."""

from pathlib import Path

from tidegate.clients.devices import host
from tidegate.core.facts import HostFacts
from tidegate.core.snapshot import Observation, Source
from tidegate.probes import base


class HostProbe:
    """Looks at files under ``root`` ("/" but for tests and the demo)."""

    source = Source.HOST

    def __init__(self, *, root: Path, satellite_port: int, clock: base.Clock) -> None:
        self._root = root
        self._port = satellite_port
        self._clock = clock

    async def look(self, need: base.Need) -> Observation:  # noqa: ARG002 - a probe's signature
        """Say what is there now. These are reads of the kernel's memory: they do not block.

        The port is looked up in the kernel's tables: a connection of ours would occupy the satellite.
        """
        facts = HostFacts(
            drbd_module=host.module_version(self._root),
            satellite_present=host.satellite_present(self._root),
            satellite_listens=host.port_listening(self._port, self._root),
            stalled=host.stalled(self._root),
        )
        return Observation(source=self.source, at=self._clock(), host=facts)
