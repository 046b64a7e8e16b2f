# SPDX-License-Identifier: Apache-2.0
"""Where LINSTOR is and what this node is called there, found from the host and found again when Incus can tell more.

Before incusd answers, the configuration, the environment of its unit and the kept map must do; then its own configuration
counts, because an instance starts only if *Incus* reaches its controller.
"""

import contextlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tidegate.clients import errors, files
from tidegate.clients.linstor import endpoints
from tidegate.clients.linstor.client import LinstorClient
from tidegate.config import discover
from tidegate.config.model import Config, LinstorConfig
from tidegate.core.facts import IncusPhase
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedMap
from tidegate.health.wants import LINSTOR_DRIVER
from tidegate.probes.base import Clock, Need
from tidegate.probes.linstor import LinstorProbe

GUARD = ("127.0.0.1", 13370)
"""Our own guard: agent and gate never read LINSTOR through it (contract.md, processes and truth)."""


class Linstor:
    """The way to LINSTOR in use now: client, node name, probe. Also the probe of the source LINSTOR."""

    source = Source.LINSTOR

    def __init__(self, config: Config, wanted: WantedMap | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._evidence = _evidence_of_host(config, wanted)
        self._retired: list[LinstorClient] = []
        self.unnamed: Callable[[], Liveness] = lambda: Liveness.LOST
        """What LINSTOR is for this host as long as nobody names a controller; see :func:`unnamed`."""
        self._use(discover.discover(config, self._evidence))

    @property
    def client(self) -> LinstorClient:
        """The client of the controllers in use now."""
        return self._client

    @property
    def node(self) -> NodeName:
        """This node, in LINSTOR's naming."""
        return self.found.node

    def learn(
        self,
        *,
        incus_config: Mapping[str, str] | None = None,
        incus_member: str | None = None,
        incus_has_linstor: bool = False,
        incus_environment: Mapping[str, str] | None = None,
        controller_unit: bool = False,
    ) -> None:
        """Take in what was found out since; what changes the way to LINSTOR is used from the next look on."""
        evidence = msgspec.structs.replace(
            self._evidence,
            incus_config=self._evidence.incus_config if incus_config is None else incus_config,
            incus_member=incus_member or self._evidence.incus_member,
            incus_has_linstor=incus_has_linstor or self._evidence.incus_has_linstor,
            incus_environment=incus_environment or self._evidence.incus_environment,
            controller_unit=controller_unit or self._evidence.controller_unit,
        )
        if evidence == self._evidence:
            return
        self._evidence = evidence
        found = discover.discover(self._config, evidence)
        if found != self.found:
            self._retired.append(self._client)
            self._use(found)

    async def look(self, need: Need) -> Observation:
        """Look at LINSTOR through the way in use now."""
        while self._retired:
            await self._retired.pop().aclose()
        trouble = self.found.trouble or self._refused
        if trouble is None:
            return await self._probe.look(need)
        liveness = self.unnamed() if self.found.trouble is not None else Liveness.LOST
        return Observation(source=self.source, at=self._clock(), liveness=liveness, trouble=trouble)

    async def aclose(self) -> None:
        """Close all connections."""
        async with contextlib.AsyncExitStack() as stack:
            for client in [*self._retired, self._client]:
                stack.push_async_callback(client.aclose)

    def _use(self, found: discover.Discovered) -> None:
        self.found = found
        chosen = found.linstor
        self._refused: Trouble | None = None
        try:
            to = endpoints_of(chosen)
        except errors.ClientError as error:
            self._refused = error.trouble
            to = endpoints_of(msgspec.structs.replace(chosen, password_file=""))
        self._client = LinstorClient(to, own=[GUARD], connect_limit=chosen.connect_deadline)
        self._probe = LinstorProbe(
            self._client, node=found.node, clock=self._clock, deadline=chosen.deadline
        )


def unnamed(snapshot: Snapshot) -> Liveness:
    """Return what LINSTOR is for a host on which nobody has named a controller.

    New while somebody who could name it has not spoken yet, off where nothing shows that LINSTOR is used here, else lost.
    """
    speakers = (Source.HOST, Source.SYSTEMD, Source.INCUS)
    heard = {source: snapshot.source(source).liveness for source in speakers}
    if Liveness.NEW in heard.values() or heard[Source.INCUS] is Liveness.STARTING:
        return Liveness.NEW
    satellite = snapshot.host is None or snapshot.host.value.satellite_present
    kept = snapshot.wanted is not None and bool(snapshot.wanted.volumes)
    pools = snapshot.pools.value.values() if snapshot.pools is not None else ()
    used = satellite or kept or any(pool.driver == LINSTOR_DRIVER for pool in pools)
    # An incusd that is installed and does not run names nobody, and nothing here speaks of LINSTOR.
    stopped = snapshot.incus is not None and snapshot.incus.value.phase is IncusPhase.STOPPED
    quiet = heard[Source.INCUS] is Liveness.OFF or snapshot.pools is not None or stopped
    return Liveness.OFF if quiet and not used else Liveness.LOST


def _evidence_of_host(config: Config, wanted: WantedMap | None) -> discover.Evidence:
    root = Path(config.host.root)
    return discover.Evidence(
        hostname=socket.gethostname(),  # whole, as Incus takes it (facts/incus.md L3)
        client_conf=_text(root / discover.CLIENT_CONF.lstrip("/")),
        satellite_token=(root / discover.SATELLITE_TOKEN.lstrip("/")).exists(),
        wanted=wanted,
    )


def _text(path: Path) -> str | None:
    try:
        return files.read_text(path)
    except errors.ClientError:
        return None


def endpoints_of(chosen: LinstorConfig) -> endpoints.Endpoints:
    """Return the way to the controllers as the clients take it. Raises ClientError when the password's file cannot be read."""
    password = chosen.password
    if chosen.password_file:
        password = files.read_text(Path(chosen.password_file)).rstrip("\n")
    return endpoints.Endpoints(
        urls=chosen.controllers,
        ca_file=chosen.ca_file or None,
        ca_pem=chosen.ca or None,
        cert_file=chosen.cert_file or None,
        cert_pem=chosen.cert or None,
        key_file=chosen.key_file or None,
        key_pem=chosen.key or None,
        username=chosen.username or None,
        password=password or None,
        token_file=chosen.token_file or None,
    )
