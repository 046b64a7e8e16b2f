# SPDX-License-Identifier: Apache-2.0
"""Scenes of the ground: the host, the network, the controller."""

import contextlib
import datetime as dt
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest
import trustme
from tests.scenes import RELEASE, Scene, Stage
from tests.unit.clients import faults as servers
from tests.unit.clients.controllers import VERSION, Controller
from tests.unit.clients.test_linstor_tls import server_side

from tidegate.clients import reach
from tidegate.config.policy import HealthPolicy
from tidegate.core.evidence import PortAnswer
from tidegate.core.snapshot import Source
from tidegate.sim.faults import Fault, FaultKind, Layout
from tidegate.sim.incus.values import ServerSpec

MODULES = f"lib/modules/{RELEASE}/modules.dep"
LATE_MODULE = (Fault(kind=FaultKind.MODULE_LATE),)
AWAY = (Fault(kind=FaultKind.PEER_AWAY, subject="n2", alive=True),)
TOOLS = ("drbdsetup", "lvm", "thin_check", "losetup")


def modules(listed: str) -> Callable[[Stage], None]:
    return lambda stage: stage.put(MODULES, listed)


def old_module(stage: Stage) -> None:
    stage.put("sys/module/drbd/version", "8.4.11\n")


def no_program(stage: Stage) -> None:
    (stage.root / "usr/share/linstor-server/bin/Satellite").unlink()


def some_tools(stage: Stage) -> None:
    for name in TOOLS:
        stage.put(f"usr/sbin/{name}")


def clock_set(stage: Stage) -> None:
    stage.wall -= 3600.0


def mute_kernel(stage: Stage) -> None:
    """drbdsetup ends without a word."""
    (stage.directory / "bin/drbdsetup").write_text("#!/bin/sh\nexit 0\n")


def addresses(n1: str, n2: str) -> Callable[[Layout], Layout]:
    def changed(layout: Layout) -> Layout:
        told = {"n1": n1, "n2": n2}
        nodes = tuple(msgspec.structs.replace(one, address=told[one.name]) for one in layout.nodes)
        return msgspec.structs.replace(layout, nodes=nodes)

    return changed


PEER = "127.0.0.2"
HERE = addresses("127.0.0.1", PEER)
"""Both nodes on this machine's loopback; that the second is another machine's has to be said."""


def two_machines(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reach, "has_address", lambda address: address != PEER)


def no_answer(patch: pytest.MonkeyPatch) -> None:
    async def silent(_address: str, _port: object = 0, _deadline: float = 0.0) -> PortAnswer:
        return PortAnswer.SILENT

    two_machines(patch)
    patch.setattr(reach, "_echo", silent)
    patch.setattr(reach, "knock", silent)


@contextlib.contextmanager
def full(address: str, port: int) -> Iterator[None]:
    """A port whose backlog is full: what wants to connect is dropped without a word."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((address, port))
        yield


def filtered(stage: Stage) -> None:
    stage.keep(full(PEER, 7000))


# --- controllers ---------------------------------------------------------------------------------


def at(url: str) -> Any:
    @contextlib.asynccontextmanager
    async def opened(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
        yield (url,) if url else ()

    return opened


def served(handler: servers.Handler) -> Any:
    @contextlib.asynccontextmanager
    async def opened(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
        async with servers.serve(handler) as port:
            yield (f"http://127.0.0.1:{port}",)

    return opened


def answers(status: int, body: str, kind: str = "application/json", *headers: str) -> Any:
    return served(servers.answer(*servers.http(status, body, kind, *headers)))


@contextlib.asynccontextmanager
async def behind_a_filter(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
    with servers.black_hole() as port:
        yield (f"http://127.0.0.1:{port}",)


@contextlib.asynccontextmanager
async def stopped_process(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
    with servers.accepts_and_hangs() as port:
        yield (f"http://127.0.0.1:{port}",)


def answering(more: dict[str, Any]) -> Any:
    """A controller that says its version, and beside that only ``more``."""

    @contextlib.asynccontextmanager
    async def opened(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
        made = Controller()
        made.answers |= more
        async with made.running():
            yield (made.url,)

    return opened


@contextlib.asynccontextmanager
async def expired(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    cert = trustme.CA().issue_cert(
        "localhost", not_before=past, not_after=past + dt.timedelta(days=1)
    )
    async with Controller(server_side(cert)).running() as made:
        yield (made.url,)


@contextlib.asynccontextmanager
async def ancient(_stage: Stage) -> AsyncIterator[tuple[str, ...]]:
    made = Controller()
    old = VERSION | {"version": "1.4.2", "rest_api_version": "1.2.0"}
    made.answers = {"/v1/controller/version": old, "/v1/nodes": []}
    async with made.running():
        yield (made.url,)


def has_address(server: ServerSpec) -> ServerSpec:
    (one,) = server.instances
    card = {"eth0": {"type": "nic", "ipv4.address": "127.0.0.1"}}
    return msgspec.structs.replace(server, instances=(msgspec.structs.replace(one, devices=card),))


def database_on_drbd(stage: Stage) -> None:
    line = "36 25 147:1001 / /var/lib/linstor rw,relatime shared:1 - ext4 /dev/drbd1001 rw\n"
    stage.put("proc/1/mountinfo", f"25 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n{line}")


SCENES = [
    # --- host ------------------------------------------------------------------------------------
    Scene(code="host.drbd-module-absent", about="host", seen="it is installed (updates/dkms/drbd.ko)", remedy="modprobe drbd", faults=LATE_MODULE, hurt=modules("updates/dkms/drbd.ko: kernel/lib/libcrc32c.ko\n")),
    Scene(code="host.drbd-module-not-installed", about="host", seen="there is none for the running kernel", remedy="dkms autoinstall", faults=LATE_MODULE, hurt=modules("kernel/fs/ext4/ext4.ko:\n")),
    Scene(code="host.drbd-module-in-tree", about="host", seen="kernel/drivers/block/drbd/drbd.ko.xz is all there is", remedy="Install DRBD 9", faults=LATE_MODULE, hurt=modules("kernel/drivers/block/drbd/drbd.ko.xz: kernel/lib/lru_cache.ko.xz\n")),
    Scene(code="host.drbd-module-old", about="host", seen="module drbd is version 8.4.11", remedy="modprobe -r drbd", hurt=old_module),
    Scene(code="host.satellite-missing", about="host", seen="the satellite's program is not there", remedy="Install the package linstor-satellite", hurt=no_program),
    Scene(code="host.tool-missing", about="host", seen="drbdadm is not installed; layer DRBD needs it", remedy="linstor node reconnect n1", hurt=some_tools),
    Scene(code="host.clock-jumped", about="host", seen="the clock was set 3600 s back", remedy="time-sync.target", then=clock_set),
    Scene(code="host.kernel-wedged", about="host", seen="ASSERTION", remedy="Reboot this machine", units={}, journal=(("", "drbd odd: ASSERTION device->act_log FAILED in drbd_al_begin_io_nonblock"),)),
    Scene(code="source.lost", about="host", seen="drbd does not answer", remedy="", hurt=mute_kernel),
    # --- network ---------------------------------------------------------------------------------
    Scene(code="network.address-missing", about="host", seen="DRBD is set to use 192.0.2.1", remedy="ip address", layout=addresses("192.0.2.1", "127.0.0.2"), network=True),
    Scene(code="network.peer-silent", about="host", seen="n2 answers at none of its addresses (127.0.0.2)", remedy="ping 127.0.0.2", layout=HERE, faults=AWAY, network=True, patch=no_answer, lasts=20.0, meanwhile=5.0),
    Scene(code="network.port-closed", about="host", seen="n2 refuses connections to 127.0.0.2:7000", remedy="drbdadm adjust all", layout=HERE, faults=AWAY, network=True, patch=two_machines, lasts=30.0),
    Scene(code="network.port-silent", about="host", seen="n2 lives, and does not answer at 127.0.0.2:7000", remedy="nft list ruleset", layout=HERE, faults=AWAY, network=True, patch=two_machines, hurt=filtered, lasts=30.0),
    # --- controller ------------------------------------------------------------------------------
    Scene(code="controller.refused", about="controller", seen="refuse", remedy="", faults=(Fault(kind=FaultKind.CONTROLLER_REFUSES),)),
    Scene(code="controller.timeout", about="controller", seen="no complete answer", remedy="", faults=(Fault(kind=FaultKind.CONTROLLER_HANGS),)),
    Scene(code="controller.timeout-connect", about="controller", seen="127.0.0.1:", remedy="", urls=behind_a_filter),
    Scene(code="controller.timeout", about="controller", seen="127.0.0.1:", remedy="", urls=stopped_process),
    Scene(code="controller.unreachable", about="controller", seen="255.255.255.255", remedy="", urls=at("http://255.255.255.255:3370")),
    Scene(code="controller.disconnected", about="controller", seen="127.0.0.1:", remedy="", urls=served(servers.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", then="reset"))),
    Scene(code="controller.tls", about="controller", seen="unknown CA", remedy="", urls=expired),
    Scene(code="controller.unauthorized", about="controller", seen="401", remedy="", urls=answers(401, "no", "text/plain")),
    Scene(code="controller.not-linstor", about="controller", seen="127.0.0.1:", remedy="", urls=answers(200, "<html>It works</html>", "text/html")),
    Scene(code="controller.redirected", about="controller", seen="https", remedy="", urls=answers(302, "", "text/plain", "Location: https://127.0.0.1:3371/v1/controller/version")),
    Scene(code="controller.bad-address", about="controller", seen="Incus's storage.linstor.controller_connection cannot be read", remedy="correct", told={"incus_config": {"storage.linstor.controller_connection": "ftp://there"}}),
    Scene(code="controller.garbage", about="controller", seen="127.0.0.1:", remedy="", urls=served(servers.answer(b"\x00\xffwhat is http\r\n\r\n"))),
    Scene(code="controller.error", about="controller", seen="500", remedy="", faults=(Fault(kind=FaultKind.CONTROLLER_500),)),
    Scene(code="controller.lost-satellite", about="controller", seen="127.0.0.1:", remedy="", faults=(Fault(kind=FaultKind.CONTROLLER_500, body="no-message"),)),
    Scene(code="controller.not-found", about="controller", seen="127.0.0.1:", remedy="", urls=answering({})),
    Scene(code="controller.none-configured", about="controller", seen="none is configured", remedy="LS_CONTROLLERS", told={}),
    Scene(code="source.stale", about="controller", seen="the last answer of a controller is", remedy="Wait", then=lambda stage: stage.stopped.add(Source.LINSTOR), lasts=60.0),
    Scene(code="controller.slow", about="controller", seen="s to answer", remedy="data base", faults=(Fault(kind=FaultKind.CONTROLLER_SLOW, delay=0.2),), policy=HealthPolicy(slow_after=0.1)),
    Scene(code="controller.too-old", about="controller", seen="LINSTOR 1.4.2", remedy="Upgrade linstor-controller", urls=ancient),
    Scene(code="controller.in-own-instance", about="controller", seen="is instance default/c1 of this Incus", remedy="Move the controller out of Incus", spec=has_address),
    Scene(code="controller.on-own-storage", about="controller", seen="is mounted from /dev/drbd1001", remedy="drbd-reactor", hurt=database_on_drbd),
]  # fmt: skip
