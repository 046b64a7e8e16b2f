# SPDX-License-Identifier: Apache-2.0
"""`tidegate guard enable|disable|status`: the shell around `guard.enabling`, which decides.

Before Incus's setting is touched, everything that leads back is on disk: the old value in ``guard.json``, the real controllers in
Tidegate's own configuration. And the guard must answer before Incus is sent to it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import discovery, guardrecord, guardview, keeper, unitchange, unitview
from tidegate.clients import clock, configfiles, errors, files, http, unitfiles
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.systemd.manager import Manager
from tidegate.config.discover import Discovered
from tidegate.config.model import Config, Use
from tidegate.core.trouble import Trouble
from tidegate.guard import enabling, record
from tidegate.guard.enabling import KEY, Intent, Member, Seen
from tidegate.guard.record import Form, Record
from tidegate.health.wants import LINSTOR_DRIVER
from tidegate.probes.systemd import variables
from tidegate.units.host import GUARD_ENVIRONMENT, GUARD_SOCKET, GUARD_UNIT, GuardAccess

SET_WITHIN: Final = 90.0
"""Seconds for Incus to take a key: it waits for its own first pass, and asks every member."""
ANSWER_WITHIN: Final = 10.0
"""Seconds for a guard that was just started to answer."""
ASK_EVERY: Final = 0.2
ASK_WITHIN: Final = 3.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: what was done, in sentences, and what went wrong."""

    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trouble: Trouble | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands."""

    enabled: bool
    record: Record | None = None
    key: str | None = None
    """The value of Incus's key now; None when Incus cannot be asked."""
    in_use: bool | None = None
    """Incus asks the guard first, as far as its setting says; None when that cannot be seen."""
    answers: Trouble | None = None
    """Why the guard does not answer; None when it does, or is not enabled."""
    trouble: Trouble | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What Incus and systemd said."""

    server: wire.Server
    members: tuple[Member, ...]
    on_linstor: frozenset[str]
    environment: Mapping[str, str]

    @property
    def key(self) -> str:
        """The value of Incus's list of controllers."""
        return (self.server.config or {}).get(KEY, "")


class Setup:
    """Enables and disables the guard on the host below ``root``; below another root than ``/`` systemd is left alone.

    ``url`` is where the guard is asked whether it answers, ``within`` the seconds it has for that once it was started.
    """

    def __init__(
        self,
        config: Config,
        root: Path = unitview.HOST,
        *,
        url: str = record.URL,
        within: float = ANSWER_WITHIN,
    ) -> None:
        self._config = config
        self._root = root
        self._url = url
        self._within = within
        self._live = root == unitview.HOST
        self._state = unitfiles.inside(root, config.agent.state_dir)
        self._file = self._state / record.FILE
        self._env = unitfiles.inside(root, GUARD_ENVIRONMENT)
        self._drop_in = unitfiles.inside(root, str(configfiles.DROP_INS)) / enabling.DROP_IN

    # --- enable -----------------------------------------------------------------------------------

    async def enable(self, asked: Form | None, token: Callable[[], str]) -> Outcome:
        """Have Incus ask the guard first. ``token`` makes a new secret. Raises ClientError; what was written is then taken back."""
        told = await self._told()
        found = self._found(told)
        before = self._record()
        seen = self._seen(told, found, before)
        intent = enabling.enable(seen, asked)
        if isinstance(intent, Trouble):
            return Outcome(trouble=intent)
        fresh = guardrecord.made(found, intent, before, token, with_password=not seen.has_login)
        fresh = msgspec.structs.replace(
            fresh, drop_in=not seen.configured, made=self._missing(before, not seen.configured)
        )
        try:
            done = await self._prepare(fresh, intent)
        except errors.ClientError:
            if before is None:
                await self._take_back(fresh)
            raise
        if (trouble := await self._guard_answers(self._within)) is not None:
            if before is None:
                await self._take_back(fresh)
            return Outcome(trouble=trouble)
        return await self._point(fresh, intent, done)

    async def _prepare(self, fresh: Record, intent: Intent) -> tuple[str, ...]:
        """Write all that leads back, then the units, and start them."""
        for path in fresh.made:
            files.make_directory(Path(path))
        files.write(self._file, record.written(fresh), mode=0o600)
        done = [f"written: {self._file}"]
        if fresh.password:
            text = enabling.environment(fresh.password, record.USERNAME)
            files.write(self._env, text.encode(), mode=0o600)
        if fresh.drop_in:
            files.write(self._drop_in, enabling.drop_in(fresh.controllers).encode())
            done.append(f"written: {self._drop_in}")
        access = GuardAccess(
            controllers=fresh.controllers if intent.form is Form.NODE else (),
            secret_file=GUARD_ENVIRONMENT if fresh.password else "",
        )
        changed = await unitchange.enable_guard(self._root, self._config, access)
        if changed.refusals:
            raise errors.ClientError(changed.refusals[0])
        done += [f"written: {path}" for path in changed.paths]
        # One that runs already has the old guard.json: it is restarted, and its socket stays.
        await self._units(Manager.start_unit, (GUARD_SOCKET,))
        await self._units(Manager.restart_unit, (GUARD_UNIT,))
        await self._units(Manager.start_unit, (GUARD_UNIT,))
        return tuple(done)

    async def _point(self, fresh: Record, intent: Intent, done: tuple[str, ...]) -> Outcome:
        """Set the key, where that is the form: first to the guard alone, which every member must reach."""
        if intent.form is Form.NODE or not intent.steps:
            return Outcome(done=done, notes=intent.notes)
        files.write(
            self._file,
            record.written(msgspec.structs.replace(fresh, new=intent.steps[-1])),
            mode=0o600,
        )
        async with self._incus() as incus:
            for step in intent.steps:
                try:
                    await incus.set_server({KEY: step}, deadline=SET_WITHIN)
                except errors.ClientError as error:
                    with contextlib.suppress(errors.ClientError):
                        await incus.set_server({KEY: intent.old}, deadline=SET_WITHIN)
                    return Outcome(done=done, notes=intent.notes, trouble=_refused(error))
        return Outcome(done=(*done, f"Incus's key {KEY}: {intent.steps[-1]}"), notes=intent.notes)

    # --- disable ----------------------------------------------------------------------------------

    async def disable(self) -> Outcome:
        """Give Incus its setting back and take away all that `enable` wrote. Raises ClientError."""
        kept = self._record()
        if kept is None:
            return Outcome(done=())
        done: list[str] = []
        notes: tuple[str, ...] = ()
        if kept.form is Form.CLUSTER:
            told = await self._told()
            value = enabling.disable(kept, told.key)
            if value is not None:
                async with self._incus() as incus:
                    await incus.set_server({KEY: value}, deadline=SET_WITHIN)
                done.append(f"Incus's key {KEY}: {value or 'unset'}")
        else:
            notes = (
                "a running Incus goes on to the real controllers by itself; restarted, it asks them first",
            )
        done += await self._take_back(kept)
        return Outcome(done=tuple(done), notes=notes)

    async def _take_back(self, kept: Record) -> list[str]:
        changed = await unitchange.disable_guard(self._root, self._config)
        await self._units(Manager.stop_unit, (GUARD_SOCKET, GUARD_UNIT))
        gone = [*changed.paths]
        # The record last: killed before, we still know what is ours.
        for path in (self._env, *((self._drop_in,) if kept.drop_in else ()), self._file):
            if path.exists():
                files.remove(path)
                gone.append(str(path))
        for made in reversed(kept.made):
            files.remove_directory(Path(made))
        return [f"removed: {path}" for path in gone]

    # --- status -----------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Say how it stands. Raises ClientError when ``guard.json`` cannot be read."""
        kept = self._record()
        if kept is None:
            return Status(enabled=False)
        trouble = None
        key = environment = None
        try:
            told = await self._told()
            key, environment = told.key, told.environment
        except errors.ClientError as error:
            trouble = error.trouble
        in_use = None
        if key is not None and environment is not None:
            listed = key if kept.form is Form.CLUSTER else environment.get("LS_CONTROLLERS", "")
            in_use = enabling.is_whole(listed) and (kept.form is Form.CLUSTER or not key)
        return Status(
            enabled=True,
            record=kept,
            key=key,
            in_use=in_use,
            answers=await self._guard_answers(1.0),
            trouble=trouble,
        )

    def _missing(self, before: Record | None, drop_in: bool) -> tuple[str, ...]:
        """Return the directories that are not there yet, and those that we made before; those above first."""
        found = dict.fromkeys(before.made if before is not None else ())
        for folder in (self._state, *((self._drop_in.parent,) if drop_in else ())):
            chain = [path for path in (folder, *folder.parents) if not path.is_dir()]
            found.update(dict.fromkeys(str(path) for path in reversed(chain)))
        return tuple(found)

    # --- looking ----------------------------------------------------------------------------------

    def _record(self) -> Record | None:
        if not self._file.exists():
            return None
        try:
            return record.read(files.read(self._file))
        except ValueError as error:
            trouble = Trouble(
                code="guard.record-unusable",
                text=f"{self._file} cannot be used: {error}",
                hint="move it away; the key's old value may be in `incus config get` of a backup",
            )
            raise errors.ClientError(trouble) from error

    async def _told(self) -> Told:
        """Ask Incus, if it runs: its socket would start it."""
        environment: Mapping[str, str] = {}
        if self._live and self._config.systemd.use is not Use.OFF and unitview.is_booted():
            async with Manager(deadline=self._config.systemd.deadline) as manager:
                unit = await manager.unit(self._config.systemd.incus_unit)
            if unit.active_state != "active":
                raise errors.ClientError(
                    Trouble(
                        code="guard.incus-not-running",
                        text=f"{unit.name} is {unit.active_state}: its setting cannot be read",
                        hint="try again when Incus runs",
                    )
                )
            environment = variables(unit)
        async with self._incus() as incus:
            server = await incus.server()
            pools = await incus.pools()
            clustered = server.environment.server_clustered
            members = await incus.members() if clustered else ()
        return Told(
            server=server,
            members=tuple(Member(name=one.server_name, status=one.status) for one in members),
            on_linstor=frozenset(
                one.name for one in pools if one.pool and one.pool.driver == LINSTOR_DRIVER
            ),
            environment=environment,
        )

    def _incus(self) -> IncusClient:
        chosen = self._config.incus.socket
        place = Path(chosen) if chosen else incus_socket.find({})
        return IncusClient(place, deadline=self._config.incus.deadline)

    def _found(self, told: Told) -> Discovered:
        """Find the way to LINSTOR as the agent does, from all that Incus said."""
        wanted, _ = keeper.Keeper(self._state).load()
        linstor = discovery.Linstor(self._config, wanted, clock.boottime)
        environment = told.server.environment
        linstor.learn(
            incus_config=told.server.config or {},
            incus_member=environment.server_name if environment.server_clustered else None,
            incus_has_linstor=bool(told.on_linstor),
            incus_environment=told.environment,
        )
        return linstor.found

    def _seen(self, told: Told, found: Discovered, before: Record | None) -> Seen:
        config = told.server.config or {}
        own = before is not None and before.drop_in
        return Seen(
            key=told.key,
            old=before.old if before is not None else "",
            members=told.members,
            controllers=found.linstor.controllers if found.trouble is None else (),
            configured=bool(self._config.linstor.controllers) and not own,
            has_login=enabling.has_login(told.environment)
            and told.environment.get("LS_USERNAME") != record.USERNAME,
            fatal=tuple(
                key
                for key in guardview.DAEMON_VOLUMES
                if config.get(key, "").partition("/")[0] in told.on_linstor
            ),
        )

    async def _guard_answers(self, within: float) -> Trouble | None:
        """Return why the guard does not answer as Incus would ask it; None when it does."""
        until = asyncio.get_running_loop().time() + within
        while (trouble := await self._ask_guard()) is not None:
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(ASK_EVERY)
        return trouble

    async def _ask_guard(self) -> Trouble | None:
        async with http.tcp_session(agent="tidegate") as session:
            try:
                answer = await http.request(
                    session,
                    "GET",
                    f"{self._url}/v1/controller/version",
                    deadline=ASK_WITHIN,
                    system="guard",
                )
            except errors.ClientError as error:
                hint = (
                    "journalctl -u tidegate-guard.service; systemctl status tidegate-guard.socket"
                )
                return msgspec.structs.replace(error.trouble, hint=hint)
        if answer.status == 200:
            return None
        text = f"{self._url}: the guard answers {answer.status}: {answer.body[:200]!r}"
        hint = "it must reach a controller before Incus is sent to it: tidegate why controller"
        return Trouble(code="guard.no-controller", text=text, hint=hint)

    async def _units(self, do: Callable[[Manager, str], object], names: Iterable[str]) -> None:
        if not self._live or not unitview.is_booted():
            return
        async with Manager(deadline=self._config.systemd.deadline) as manager:
            for name in names:
                job = do(manager, name)
                assert asyncio.iscoroutine(job)
                await job


def _refused(error: errors.ClientError) -> Trouble:
    """Say what Incus's refusal of the key means: a member without a guard."""
    return Trouble(
        code="guard.refused-by-incus",
        text=f"Incus did not take the guard's address: {error.trouble.text}",
        hint="the guard is ready on this member, and Incus's setting is as it was. Every online member needs one: "
        "tidegate guard enable there, then here again",
    )
