# SPDX-License-Identifier: Apache-2.0
"""Each action against a simulated node over real sockets: done when it may be, void when something changed at the last moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import embedded_nodes as nodes

from tidegate.actuators.instances import InstanceActuator
from tidegate.actuators.perform import Actuators
from tidegate.actuators.pools import PoolActuator
from tidegate.actuators.satellite import SatelliteActuator, is_false_online
from tidegate.actuators.units import UnitActuator
from tidegate.clients import clock
from tidegate.clients.errors import ClientError
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.clients.systemd.manager import ManagerState, Unit
from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    OutcomeKind,
    Reconnect,
    ReconnectSatellite,
    RestartUnit,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.facts import DefinitionFacts
from tidegate.core.ids import NodeName, PoolName, ResourceName, UnitName
from tidegate.core.trouble import Trouble
from tidegate.probes import translate_incus
from tidegate.sim import faults
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.values import InstanceSpec, MemberSpec, ServerSpec, instance_id
from tidegate.sim.linstor.node import Status
from tidegate.sim.storage import Done, Failed

C1 = instance_id("c1")
DONE, VOID, FAILED, UNCERTAIN = (
    OutcomeKind.DONE,
    OutcomeKind.VOID,
    OutcomeKind.FAILED,
    OutcomeKind.UNCERTAIN,
)


class Rig:
    """A simulated node and what acts on it."""

    def __init__(self, node: EmbeddedNode, incus: IncusClient, actuators: Actuators) -> None:
        self.node = node
        self.incus = incus
        self._actuators = actuators

    async def does(self, action: Action) -> tuple[OutcomeKind, str]:
        async with asyncio.timeout(20):
            outcome = await self._actuators.perform(action)
        assert outcome.action == action
        assert outcome.text
        assert outcome.ended_at >= outcome.started_at
        return outcome.kind, outcome.code

    async def until(self, condition: Callable[[], bool]) -> None:
        await nodes.until(self.node, condition)

    async def ready(self) -> None:
        await self.until(lambda: self.node.incus.phase is Phase.READY)

    async def start(self) -> StartInstance:
        """A start of c1 as it would be decided now."""
        answer = await self.incus.instance("default", "c1")
        (found,) = translate_incus.instances([answer], own_volumes={}, member=None).values()
        return StartInstance(id="1", cause="", instance=found.id, last_used_at=found.last_used_at)


def validate(pool: str = "remote") -> ValidatePool:
    return ValidatePool(id="1", cause="", pool=PoolName(pool))


@contextlib.asynccontextmanager
async def rig(directory: Path, *faults: Fault, **more: Any) -> AsyncIterator[Rig]:
    node = nodes.node(directory, *faults, **{"containers": ("c1",), **more})
    async with node.running(), IncusClient(node.incus_socket) as incus:
        linstor = LinstorClient(Endpoints(urls=(node.linstor_face.url,)))
        pools = PoolActuator(incus, lambda: linstor, lambda: NodeName("n1"), lambda: KEPT)
        yield Rig(
            node,
            incus,
            Actuators(
                pools=pools,
                instances=InstanceActuator(incus),
                units=UnitActuator(None),
                satellite=SatelliteActuator(
                    lambda: linstor,
                    listens=lambda: node.world.connection.listening(node.world.lives["n1"]),
                    log=log,
                    manager=None,
                ),
                boottime=clock.boottime,
            ),
        )
        await linstor.aclose()


KEPT: list[DefinitionFacts] = []
"""The resource definitions that were kept for local truth, as a test sets them."""
LOG: list[str] = []
"""The satellite's lines, as a test sets them."""


async def log() -> tuple[str, ...]:
    return tuple(LOG)


def offline(end: float | None) -> Fault:
    return Fault(kind=FaultKind.NODE_OFFLINE, end=end)


# --- pools ----------------------------------------------------------------------------------------


async def test_a_pool_is_mounted_again(tmp_path: Path) -> None:
    async with rig(tmp_path, offline(0.8)) as it:
        await it.ready()
        await it.until(it.node.storage_ready)
        assert it.node.incus.pool_status("remote") == "Unavailable"
        assert await it.does(validate()) == (DONE, "pool.mounted")
        assert it.node.incus.pool_status("remote") == "Created"
        assert await it.does(validate()) == (VOID, "pool.available")
        assert len(it.node.incus.world.validations) == 1


async def test_only_a_linstor_pool_that_is_there_is_touched(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        assert await it.does(validate("gone")) == (VOID, "pool.gone")
        assert await it.does(validate("local")) == (VOID, "pool.other-driver")
        assert it.node.incus.world.validations == []


async def test_a_pool_whose_satellite_went_away_again_is_left_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, offline(None)) as it:
        await it.ready()
        assert await it.does(validate()) == (VOID, "satellite.not-online")
        assert it.node.incus.world.validations == []


async def test_a_pool_is_left_alone_while_incus_starts_its_instances(tmp_path: Path) -> None:
    """``d1`` keeps the first pass going; behind its back nothing is mounted."""
    slow = nodes.quick(instance_start=3.0)
    async with rig(tmp_path, offline(0.5), timings=slow) as it:
        await it.until(lambda: it.node.incus.phase is Phase.AUTOSTART)
        await it.until(it.node.storage_ready)
        assert it.node.incus.phase is Phase.AUTOSTART
        assert await it.does(validate()) == (VOID, "incus.not-ready")
        assert it.node.incus.world.validations == []


async def test_a_pool_with_volumes_that_incus_does_not_know_is_left_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, offline(0.8), stray=("lost",)) as it:
        await it.ready()
        await it.until(it.node.storage_ready)
        assert await it.does(validate()) == (FAILED, "pool.unknown-volumes")
        assert it.node.incus.world.validations == []


async def test_a_pool_that_cannot_be_mounted_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LINSTOR says ONLINE to us, and Incus fails all the same."""
    async with rig(tmp_path, offline(0.8)) as it:
        await it.ready()
        await it.until(it.node.storage_ready)
        front = it.node.incus.world.fronts["remote"]
        monkeypatch.setattr(
            front, "mount_pool", lambda: Failed(text="mount: no way", unavailable=True)
        )
        kind, code = await it.does(validate())
        assert kind is FAILED
        assert code == "incus.error"
        assert it.node.incus.pool_status("remote") == "Unavailable"


async def test_without_a_controller_what_was_kept_is_compared_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """contract.md safety 2: unknown, or nothing known at all, means that nothing is called."""
    local = msgspec.structs.replace(validate(), local=True)
    async with rig(tmp_path, Fault(kind=FaultKind.CONTROLLER_REFUSES)) as it:
        await it.ready()
        front = it.node.incus.world.fronts["remote"]
        monkeypatch.setattr(front, "mount_pool", lambda: Done(took=0.0))
        monkeypatch.setattr(f"{__name__}.KEPT", [])
        assert await it.does(local) == (FAILED, "pool.volumes-not-known")
        KEPT.extend([definition("c1"), definition("lost")])
        assert await it.does(local) == (FAILED, "pool.unknown-volumes")
        KEPT[1] = DefinitionFacts(name=ResourceName("strange"), resource_group="remote")
        assert await it.does(local) == (FAILED, "pool.unknown-volumes")
        assert it.node.incus.world.validations == []
        KEPT.pop()
        # That its volumes cannot be listed afterwards is no harm: the pool's status counts.
        assert await it.does(local) == (DONE, "pool.mounted")
        assert it.node.incus.pool_status("remote") == "Created"


async def test_a_controller_that_answers_after_all_has_the_say(tmp_path: Path) -> None:
    local = msgspec.structs.replace(validate(), local=True)
    async with rig(tmp_path, offline(None)) as it:
        await it.ready()
        assert await it.does(local) == (VOID, "satellite.not-online")
        assert it.node.incus.world.validations == []


def definition(name: str) -> DefinitionFacts:
    return DefinitionFacts(
        name=ResourceName(f"rd-{name}"),
        resource_group="remote",
        aux_name=f"incus-volume-{name}",
        aux_type="containers",
    )


async def test_a_controller_that_does_not_answer_voids_nothing_and_nothing_is_called(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, Fault(kind=FaultKind.CONTROLLER_REFUSES)) as it:
        await it.ready()
        kind, code = await it.does(validate())
        assert (kind, code) == (FAILED, "controller.refused")
        assert it.node.incus.world.validations == []


async def test_a_validation_whose_answer_is_lost_is_uncertain(tmp_path: Path) -> None:
    slow = nodes.quick(validate=3.0)
    async with rig(tmp_path, offline(0.8), timings=slow) as it:
        await it.ready()
        await it.until(it.node.storage_ready)
        doing = asyncio.ensure_future(it.does(validate()))
        await it.until(lambda: bool(it.node.incus.daemon and it.node.incus.world.validations))
        it.node.incus.crash_daemon()
        kind, code = await doing
        assert kind is UNCERTAIN
        assert code == "incus.disconnected"


# --- instances --------------------------------------------------------------------------------------


async def given_up(it: Rig) -> None:
    """Incus has given up on c1, and its storage is there."""
    await it.until(lambda: nodes.given_up(it.node) == {"c1"})
    await it.ready()
    await it.until(it.node.storage_ready)


async def test_an_instance_that_incus_gave_up_on_is_started(tmp_path: Path) -> None:
    async with rig(tmp_path, Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)) as it:
        await given_up(it)
        assert await it.does(await it.start()) == (DONE, "instance.started")
        assert nodes.started_by_agent(it.node) == ["c1"]
        assert await it.does(await it.start()) == (VOID, "instance.runs")
        (warning,) = it.node.incus.warnings
        acknowledge = AcknowledgeWarning(id="2", cause="", uuid=warning.uuid, instance=C1)
        assert await it.does(acknowledge) == (DONE, "warning.acknowledged")
        assert await it.does(acknowledge) == (VOID, "warning.not-new")
        gone = msgspec.structs.replace(acknowledge, uuid="0" * 36)
        assert await it.does(gone) == (VOID, "warning.not-new")


async def test_an_instance_somebody_started_and_stopped_meanwhile_keeps_that_will(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as it:
        await it.until(lambda: nodes.running(it.node) == {"c1", "d1"})
        now = await it.start()
        assert now.last_used_at is not None
        decided_before = msgspec.structs.replace(now, last_used_at=now.last_used_at - 60)
        nodes.stop(it.node, "c1")
        await it.until(lambda: nodes.running(it.node) == {"d1"})
        assert await it.does(decided_before) == (VOID, "instance.started-meanwhile")
        assert nodes.starts(it.node).count("c1") == 1


async def test_an_instance_that_should_no_longer_start_is_not(tmp_path: Path) -> None:
    async with rig(tmp_path, Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)) as it:
        await given_up(it)
        it.node.incus.instance(C1).config["boot.autostart"] = "false"
        assert await it.does(await it.start()) == (VOID, "instance.not-wanted")
        assert nodes.running(it.node) == {"d1"}


async def test_an_instance_in_error_is_left_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)) as it:
        await given_up(it)
        it.node.incus.instance(C1).is_in_error = True
        assert await it.does(await it.start()) == (VOID, "instance.not-stopped")


async def test_an_instance_that_is_gone_is_a_failure_of_that_name(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        action = StartInstance(id="1", cause="", instance=instance_id("gone"))
        kind, code = await it.does(action)
        assert kind is FAILED
        assert code == "incus.not-found"


def clustered(status: str = "Online") -> Callable[[ServerSpec], ServerSpec]:
    def changed(server: ServerSpec) -> ServerSpec:
        members = (MemberSpec(name="n1", status=status), MemberSpec(name="n2"))
        elsewhere = InstanceSpec(name="far", pool="remote", location="n2")
        return msgspec.structs.replace(
            server, members=members, instances=(*server.instances, elsewhere)
        )

    return changed


async def test_an_instance_that_healing_moved_is_left_to_its_new_member(tmp_path: Path) -> None:
    missing = Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)
    async with rig(tmp_path, missing, spec=clustered()) as it:
        await given_up(it)
        moved = it.node.incus.instance(C1)
        moved.location, moved.power = "n2", "STOPPED"
        moved.config["boot.autostart"] = ""
        assert await it.does(await it.start()) == (VOID, "instance.elsewhere")


async def test_an_evacuated_member_starts_nothing(tmp_path: Path) -> None:
    missing = Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)
    async with rig(tmp_path, missing, spec=clustered()) as it:
        await given_up(it)
        it.node.incus.set_member_status("Evacuated")
        assert await it.does(await it.start()) == (VOID, "incus.evacuated")
        it.node.incus.set_member_status("Online")
        assert await it.does(await it.start()) == (DONE, "instance.started")


async def test_a_start_on_storage_that_is_not_there_fails_with_incus_own_words(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, Fault(kind=FaultKind.DEVICE_MISSING)) as it:
        await it.until(lambda: nodes.given_up(it.node) == {"c1"})
        await it.ready()
        assert await it.does(await it.start()) == (FAILED, "instance.start-failed")
        assert nodes.running(it.node) == {"d1"}


async def test_a_start_whose_answer_is_lost_is_looked_at(tmp_path: Path) -> None:
    """incusd dies while it starts the container: whether it came up, only the world can tell."""
    slow = nodes.quick(instance_start=2.0)
    missing = Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)
    async with rig(tmp_path, missing, local=(), timings=slow) as it:
        await given_up(it)
        doing = asyncio.ensure_future(it.does(await it.start()))
        await it.until(lambda: nodes.is_starting(it.node))
        it.node.incus.crash_daemon()
        kind, code = await doing
        assert (kind, code) == (UNCERTAIN, "incus.disconnected")


async def test_without_incus_nothing_is_uncertain(tmp_path: Path) -> None:
    """What was never sent has failed: it may be tried again at once."""
    node = nodes.node(tmp_path, containers=("c1",))
    async with IncusClient(node.incus_socket) as incus:
        action = StartInstance(id="1", cause="", instance=C1)
        attempt = await InstanceActuator(incus).start(action)
    assert (attempt.kind, attempt.code) == (FAILED, "incus.no-socket")


# --- units --------------------------------------------------------------------------------------------

START = StartUnit(id="1", cause="", unit=UnitName("incus.service"))


class Manager:
    """As much of systemd as the actuator asks for."""

    def __init__(self, state: str, error: ClientError | None = None) -> None:
        self._unit = Unit(
            name="incus.service", load_state="loaded", active_state=state, sub_state="dead"
        )
        self._error = error
        self.system = ManagerState.RUNNING
        self.started: list[str] = []

    async def state(self) -> ManagerState:
        return self.system

    async def unit(self, name: str) -> Unit:
        assert name == self._unit.name
        return self._unit

    async def start_unit(self, name: str) -> None:
        if self._error is not None:
            raise self._error
        self.started.append(name)
        self._unit = msgspec.structs.replace(self._unit, active_state="activating")


async def test_an_inactive_unit_is_started() -> None:
    manager = Manager("inactive")
    attempt = await UnitActuator(manager).start(START)  # type: ignore[arg-type]
    assert (attempt.kind, attempt.code) == (DONE, "unit.started")
    assert (attempt.before, attempt.after) == ("inactive", "activating")
    assert manager.started == ["incus.service"]


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "failed"])
async def test_any_other_unit_is_left_alone(state: str) -> None:
    manager = Manager(state)
    attempt = await UnitActuator(manager).start(START)  # type: ignore[arg-type]
    assert (attempt.kind, attempt.code) == (VOID, "unit.not-inactive")
    assert manager.started == []


async def test_nothing_is_started_into_a_shutdown() -> None:
    manager = Manager("inactive")
    manager.system = ManagerState.STOPPING
    attempt = await UnitActuator(manager).start(START)  # type: ignore[arg-type]
    assert (attempt.kind, attempt.code) == (VOID, "unit.shutdown")
    assert manager.started == []


async def test_without_systemd_no_unit_is_started() -> None:
    attempt = await UnitActuator(None).start(START)
    assert (attempt.kind, attempt.code) == (VOID, "unit.no-systemd")


async def test_a_refusal_of_systemd_is_a_failure() -> None:
    refused = ClientError(Trouble(code="systemd.refused", text="not authorized"))
    attempt = await UnitActuator(Manager("inactive", refused)).start(START)  # type: ignore[arg-type]
    assert (attempt.kind, attempt.code, attempt.text) == (
        FAILED,
        "systemd.refused",
        "not authorized",
    )


def _unit(name: str, state: str, pid: int) -> Unit:
    return Unit(name=name, load_state="loaded", active_state=state, sub_state=state, main_pid=pid)


class Restarting(Manager):
    """Incus's unit: a restart gives it another process."""

    def __init__(self, state: str = "active") -> None:
        super().__init__(state)
        self._unit = _unit("incus.service", state, 100)
        self.restarted: list[str] = []

    async def restart_unit(self, name: str) -> None:
        self.restarted.append(name)
        self._unit = _unit(name, "activating", 200)


RESTART = RestartUnit(id="1", cause="", unit=UnitName("incus.service"))


async def restarted(
    it: Rig, manager: Restarting, *, controller: str = ""
) -> tuple[OutcomeKind, str]:
    linstor = LinstorClient(Endpoints(urls=(controller or it.node.linstor_face.url,)))
    actuator = UnitActuator(
        manager,  # type: ignore[arg-type]
        incus=it.incus,
        linstor=lambda: linstor,
        node=lambda: NodeName("n1"),
    )
    made = await actuator.restart(RESTART)
    await linstor.aclose()
    return made.kind, made.code


async def test_incus_is_restarted_when_it_is_idle(tmp_path: Path) -> None:
    async with rig(tmp_path) as it:
        await it.ready()
        manager = Restarting()
        assert await restarted(it, manager) == (DONE, "incus.restarted")
        assert manager.restarted == ["incus.service"]


async def test_incus_is_not_restarted_while_an_operation_runs(tmp_path: Path) -> None:
    slow = nodes.quick(instance_start=3.0)
    missing = Fault(kind=FaultKind.DEVICE_MISSING, end=1.5)
    async with rig(tmp_path, missing, local=(), timings=slow) as it:
        await given_up(it)
        doing = asyncio.ensure_future(it.does(await it.start()))
        await it.until(lambda: nodes.is_starting(it.node))
        manager = Restarting()
        assert await restarted(it, manager) == (VOID, "incus.busy")
        assert manager.restarted == []
        await doing


async def test_incus_is_not_restarted_without_its_satellite_or_in_its_first_pass(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, offline(None)) as it:
        await it.ready()
        manager = Restarting()
        assert await restarted(it, manager) == (VOID, "satellite.not-online")
        assert await restarted(it, Restarting("deactivating")) == (VOID, "unit.not-active")
        assert manager.restarted == []


# --- the satellite ------------------------------------------------------------------------------------


def reconnect(reason: Reconnect = Reconnect.WAKE) -> ReconnectSatellite:
    return ReconnectSatellite(id="1", cause="", node=NodeName("n1"), reason=reason)


async def test_a_controller_that_waits_for_its_round_is_woken(tmp_path: Path) -> None:
    """The satellite was away for a second; the controller's next round is 60 s away."""
    rounds = faults.Timings(reconnect_round=60.0)
    async with rig(tmp_path, offline(1.0), storage=rounds) as it:
        away = it.node.world.lives["n1"]
        await it.until(lambda: it.node.world.now > 1.2)
        assert away.status is Status.OFFLINE
        assert await it.does(reconnect()) == (DONE, "satellite.reconnected")
        assert it.node.world.lives["n1"].status is Status.ONLINE
        assert await it.does(reconnect()) == (VOID, "satellite.not-offline")


async def test_a_satellite_that_does_not_listen_is_not_dialled(tmp_path: Path) -> None:
    late = Fault(kind=FaultKind.SATELLITE_LATE, end=None)
    async with rig(tmp_path, late) as it:
        assert await it.does(reconnect()) == (VOID, "satellite.not-listening")


async def test_a_satellite_that_cannot_be_reached_is_a_failure(tmp_path: Path) -> None:
    async with rig(tmp_path, offline(None)) as it:
        assert await it.does(reconnect()) == (FAILED, "satellite.not-connected")


IGNORED = (
    "SYSTEM - Controller connected and authenticated (10.0.0.1:41234)",
    "SYSTEM - Ignored an incoming but outdated fullsync (6, expected: 7)",
    "[DeviceManager] SYSTEM - DeviceManager waiting for service-condition",
)


async def test_a_false_online_is_cured_only_with_the_satellites_own_lines(
    tmp_path: Path,
) -> None:
    false = Fault(kind=FaultKind.FALSE_ONLINE, end=None)
    async with rig(tmp_path, false) as it:
        await it.until(lambda: it.node.world.lives["n1"].status is Status.ONLINE)
        LOG[:] = ["[DeviceManager] SYSTEM - End DeviceManager cycle 3"]
        action = reconnect(Reconnect.FALSE_ONLINE)
        assert await it.does(action) == (VOID, "satellite.log-differs")
        LOG[:] = IGNORED
        assert await it.does(action) == (DONE, "satellite.reconnected")
        await it.until(lambda: it.node.world.connection.manages(it.node.world.lives["n1"]))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (IGNORED, True),
        (IGNORED[:2], False),
        (IGNORED[2:], False),
        ((*IGNORED, "[DeviceManager] SYSTEM - Begin DeviceManager cycle 1"), False),
        ((*IGNORED, "SYSTEM - Controller connected and authenticated (again)"), False),
        ((), False),
    ],
)
def test_the_satellites_log_is_read_to_its_end(lines: tuple[str, ...], expected: bool) -> None:
    assert is_false_online(lines) is expected


async def test_a_failed_full_sync_is_begun_again(tmp_path: Path) -> None:
    bad = Fault(kind=FaultKind.NODE_STATUS, status="FULL_SYNC_FAILED", end=0.5)
    async with rig(tmp_path, bad) as it:
        await it.until(lambda: it.node.world.now > 0.7)
        action = reconnect(Reconnect.FULL_SYNC)
        assert await it.does(action) == (DONE, "satellite.reconnected")
        assert await it.does(action) == (VOID, "satellite.synchronised")


async def test_a_dead_satellite_is_started_and_one_that_was_stopped_is_not() -> None:
    name = UnitName("linstor-satellite.service")
    action = StartUnit(id="1", cause="", unit=name, subject=ids.SATELLITE)
    for state, expected in (
        ("failed", (DONE, "unit.started")),
        ("inactive", (VOID, "unit.not-failed")),
        ("activating", (VOID, "unit.not-failed")),
    ):
        manager = Manager(state)
        manager._unit = _unit(name, state, 0)
        made = await UnitActuator(manager).start(action)  # type: ignore[arg-type]
        assert (made.kind, made.code) == expected


async def test_a_satellite_whose_start_a_failed_mount_took_with_it_is_started() -> None:
    name = UnitName("linstor-satellite.service")
    action = StartUnit(id="1", cause="", unit=name, subject=ids.SATELLITE)
    for changes, expected in (
        ({"unit_file_state": "enabled"}, (DONE, "unit.started")),
        ({"unit_file_state": "enabled", "inactive_enter": 9.0}, (VOID, "unit.not-failed")),
        ({"unit_file_state": "disabled"}, (VOID, "unit.not-failed")),
    ):
        manager = Manager("inactive")
        manager._unit = msgspec.structs.replace(_unit(name, "inactive", 0), **changes)
        made = await UnitActuator(manager).start(action)  # type: ignore[arg-type]
        assert (made.kind, made.code) == expected


async def test_a_unit_that_stays_down_is_a_failure() -> None:
    class Dead(Manager):
        async def start_unit(self, name: str) -> None:
            self.started.append(name)

    made = await UnitActuator(Dead("inactive"), starts_within=0.05, pause=0.01).start(START)  # type: ignore[arg-type]
    assert (made.kind, made.code) == (FAILED, "unit.not-started")
