# SPDX-License-Identifier: Apache-2.0
"""Enable and disable on a host's tree, with an Incus that takes only controllers that it can reach."""

import contextlib
import itertools
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientError, ClientSession, web
from tests.contract.units.test_apply import host_root, state

from tidegate.agent.guardsetup import Setup
from tidegate.clients import files
from tidegate.clients.errors import ClientError as Refused
from tidegate.clients.incus.client import IncusClient
from tidegate.config.model import Config, IncusConfig, LinstorConfig, SystemdConfig, Use
from tidegate.guard import enabling, record
from tidegate.guard.enabling import KEY
from tidegate.guard.record import URL, Form

GUARD_CONF = "etc/systemd/system/incus.service.d/60-tidegate-guard.conf"
DROP_IN = f"etc/tidegate/conf.d/{enabling.DROP_IN}"
FILE = "var/lib/tidegate/guard.json"
ENV = "var/lib/tidegate/guard.env"


class Incus:
    """Incus with one key; it refuses a value whose first address it cannot reach (facts/incus.md D67).

    ``guard`` is where the guard's address leads to here, "" when it leads nowhere: on this member and on the others.
    """

    def __init__(self, key: str, guard: str) -> None:
        self.key = key
        self.guard = guard
        self.others = guard
        self.members: list[str] = []
        self.values: list[str] = []

    @contextlib.asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/1.0", self._server),
                web.patch("/1.0", self._patch),
                web.get("/1.0/storage-pools", self._pools),
                web.get("/1.0/storage-pools/remote", self._pool),
                web.get("/1.0/cluster/members", self._members),
            ]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _server(self, _: web.Request) -> web.Response:
        clustered = bool(self.members)
        environment = {"server_name": "n1", "server_clustered": clustered}
        config = {KEY: self.key} if self.key else {}
        return _sync({"environment": environment, "config": config, "auth": "trusted"})

    async def _pools(self, _: web.Request) -> web.Response:
        return _sync(["/1.0/storage-pools/remote"])

    async def _pool(self, _: web.Request) -> web.Response:
        return _sync({"name": "remote", "driver": "linstor", "config": {}})

    async def _members(self, _: web.Request) -> web.Response:
        return _sync([{"server_name": name, "status": "Online"} for name in self.members])

    async def _patch(self, request: web.Request) -> web.Response:
        value = (await request.json())["config"][KEY]
        self.values.append(value)
        for guard in (self.guard, self.others):
            if not await self._reached(value, guard):
                text = f"Failed to create Linstor client: {value}"
                return web.json_response(
                    {"type": "error", "error": text, "error_code": 500}, status=500
                )
        self.key = value
        return _sync({})

    async def _reached(self, value: str, guard: str) -> bool:
        if not value:
            return True
        for one in value.split(","):
            url = guard if one == URL else (one if "://" in one else f"http://{one}")
            with contextlib.suppress(ClientError):
                async with ClientSession() as session, session.get(f"{url}/v1/controller/version"):
                    return True
        return False


def _sync(metadata: object) -> web.Response:
    return web.json_response({"type": "sync", "status_code": 200, "metadata": metadata})


@contextlib.asynccontextmanager
async def controller(status: int = 200) -> AsyncIterator[str]:
    """A controller, or a guard: says its version."""

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "1.33.2"}, status=status)

    app = web.Application()
    app.add_routes([web.get("/v1/controller/version", version)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert runner.addresses
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def config(socket: Path, **linstor: tuple[str, ...]) -> Config:
    return Config(
        incus=IncusConfig(socket=str(socket)),
        systemd=SystemdConfig(use=Use.OFF),
        linstor=LinstorConfig(**linstor),  # type: ignore[arg-type]
    )


@pytest.fixture
def tokens() -> Iterator[str]:
    return (f"token-{number}" for number in itertools.count())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "host").mkdir()
    return host_root("debian", tmp_path / "host")


@contextlib.asynccontextmanager
async def host(
    root: Path, key: str = "", **linstor: tuple[str, ...]
) -> AsyncIterator[tuple[Setup, Incus, str]]:
    """A host with a guard that runs, an Incus and a controller; ``{real}`` in ``key`` stands for the controller."""
    socket = root.parent / "incus.sock"
    async with controller() as real, controller() as guard:
        incus = Incus(key.format(real=real.removeprefix("http://")), guard)
        async with incus.serving(socket):
            yield Setup(config(socket, **linstor), root, url=guard), incus, real


async def test_the_node_alone_is_told_and_everything_is_taken_back(
    root: Path, tokens: Iterator[str]
) -> None:
    before = state(root)
    async with host(root, controllers=("http://10.0.0.1:3370",)) as (setup, incus, _):
        outcome = await setup.enable(None, lambda: next(tokens))
        assert outcome.trouble is None, outcome
        assert incus.values == []
        assert f"LS_CONTROLLERS={URL},http://10.0.0.1:3370" in (
            (root / GUARD_CONF).with_suffix(".env").read_text()
        )
        kept = record.read((root / FILE).read_bytes())
        assert kept.form is Form.NODE
        assert stat.S_IMODE((root / FILE).stat().st_mode) == 0o600
        assert stat.S_IMODE((root / ENV).stat().st_mode) == 0o600
        assert f"LS_PASSWORD={kept.password}" in (root / ENV).read_text()
        assert kept.password != kept.secret
        again = await setup.enable(None, lambda: next(tokens))
        assert again.trouble is None
        repeated = record.read((root / FILE).read_bytes())
        assert (repeated.password, repeated.secret) == (kept.password, kept.secret)
        assert (await setup.disable()).done
        assert state(root) == before
        assert (await setup.disable()).done == ()


async def test_the_clusters_key_is_proven_set_and_given_back(
    root: Path, tokens: Iterator[str]
) -> None:
    async with host(root, key="{real}") as (setup, incus, real):
        incus.members = ["n1", "n2"]
        old = incus.key
        outcome = await setup.enable(None, lambda: next(tokens))
        assert outcome.trouble is None, outcome
        assert incus.values == [URL, f"{URL},{old}"]
        assert real in (root / DROP_IN).read_text()
        assert "LS_CONTROLLERS" not in (root / GUARD_CONF).read_text()
        assert not (root / GUARD_CONF).with_suffix(".env").exists()
        status = await setup.status()
        assert status.enabled
        assert status.in_use
        assert status.answers is None
        incus.key = URL
        assert not (await setup.status()).in_use, "an enable that was cut off is seen"
        await setup.enable(None, lambda: next(tokens))
        assert incus.key == f"{URL},{old}"
        assert record.read((root / FILE).read_bytes()).old == old
        await setup.disable()
        assert incus.key == old
    assert not (root / FILE).exists()
    assert not (root / DROP_IN).exists()
    assert not (root / GUARD_CONF).exists()


async def test_a_member_without_a_guard_is_found_out_and_the_key_stays(
    root: Path, tokens: Iterator[str]
) -> None:
    async with host(root, key="{real}") as (setup, incus, _):
        incus.members, incus.others = ["n1", "n2"], "http://127.0.0.1:9"
        old = incus.key
        outcome = await setup.enable(None, lambda: next(tokens))
        assert outcome.trouble is not None
        assert outcome.trouble.code == "guard.refused-by-incus"
        assert incus.key == old
        assert (root / FILE).exists(), "this member's guard is ready for the next try"
        status = await setup.status()
        assert not status.in_use
        incus.others = incus.guard
        assert (await setup.enable(None, lambda: next(tokens))).trouble is None
        assert incus.key == f"{URL},{old}"


def contents(root: Path) -> dict[str, bytes]:
    """Each file with what is in it; an empty directory may stay."""
    return {str(one): one.read_bytes() for one in sorted(root.rglob("*")) if one.is_file()}


class Killed(BaseException):
    """What a SIGKILL is to the code that it meets."""


class Kill:
    """Kills at the n-th thing that is written, on this host or in Incus: before it, or just after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
        self.left = at
        self._after = after
        for owner, name in ((files, "write"), (files, "remove"), (files, "make_directory")):
            self._wrap(monkeypatch, owner, name)
        real = IncusClient.set_server

        async def set_server(client: IncusClient, *given: Any, **more: Any) -> None:
            self._count(before=True)
            await real(client, *given, **more)
            self._count(before=False)

        monkeypatch.setattr(IncusClient, "set_server", set_server)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*given: Any, **more: Any) -> Any:
            self._count(before=True)
            found = real(*given, **more)
            self._count(before=False)
            return found

        monkeypatch.setattr(owner, name, wrapped)

    def _count(self, *, before: bool) -> None:
        if before:
            self.left -= 1
        if self.left == 0 and before is not self._after:
            raise Killed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["enable", "disable"])
async def test_killed_at_any_moment_nothing_is_forgotten(
    root: Path, tokens: Iterator[str], verb: str, after: bool
) -> None:
    """Done again it is as if it had gone well the first time; taken back, every byte and Incus's old value are there again."""
    for at in itertools.count(1):
        before = contents(root)
        async with host(root, key="{real}") as (setup, incus, _):
            old = incus.key
            if verb == "disable":
                await setup.enable(None, lambda: next(tokens))
            with pytest.MonkeyPatch.context() as patched:
                kill = Kill(patched, at, after=after)
                with contextlib.suppress(Killed):
                    await (
                        setup.enable(None, lambda: next(tokens))
                        if verb == "enable"
                        else setup.disable()
                    )
            if at % 2:
                outcome = await setup.enable(None, lambda: next(tokens))
                assert outcome.trouble is None, (at, outcome)
                assert incus.key == f"{URL},{old}", at
            await setup.disable()
            assert incus.key == old, at
            assert contents(root) == before, at
        if kill.left > 0:
            break
    assert at > 5


async def test_a_guard_that_does_not_answer_is_no_guard(root: Path, tokens: Iterator[str]) -> None:
    before = state(root)
    async with host(root, key="{real}") as (_, incus, _real), controller(503) as broken:
        setup = Setup(config(root.parent / "incus.sock"), root, url=broken, within=0.0)
        outcome = await setup.enable(None, lambda: next(tokens))
    assert outcome.trouble is not None
    assert incus.values == []
    assert state(root) == before


async def test_without_incus_nothing_is_written(root: Path, tokens: Iterator[str]) -> None:
    before = state(root)
    setup = Setup(config(root.parent / "nobody.sock"), root)
    with pytest.raises(Refused) as refused:
        await setup.enable(None, lambda: next(tokens))
    assert refused.value.code.startswith("incus.")
    assert state(root) == before
    assert not (await setup.status()).enabled


async def test_configured_controllers_are_not_written_twice(
    root: Path, tokens: Iterator[str]
) -> None:
    async with host(root, controllers=("http://10.0.0.1:3370",)) as (setup, _, _real):
        await setup.enable(None, lambda: next(tokens))
    assert not (root / DROP_IN).exists()


async def test_a_damaged_record_is_told(root: Path) -> None:
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text("{")
    with pytest.raises(Refused) as refused:
        await Setup(config(root.parent / "x.sock"), root).status()
    assert refused.value.code == "guard.record-unusable"


def test_the_url_is_the_one_that_the_units_listen_on() -> None:
    socket = Path("packaging/systemd/tidegate-guard.socket").read_text()
    assert f"ListenStream={urlsplit(URL).netloc}" in socket
