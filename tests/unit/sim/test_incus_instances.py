# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping by API, and what Incus writes down about it (facts/incus.md 3.2, 3.3, R46-R49)."""

from tests import scripted_incus
from tests.scripted_incus import C1, C2, D1, POOLS, Lab, missing

from tidegate.core import ids
from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.events import EventBody
from tidegate.sim.incus.model import Answer
from tidegate.sim.incus.operations import Operation
from tidegate.sim.incus.values import InstanceKind, InstanceSpec, Refusal
from tidegate.sim.incus.world import POWER, RUNNING, STOPPED
from tidegate.sim.storage import ContentType, Failed, VolumeKind

ALL = frozenset({"lifecycle", "operation", "logging"})


def ask(lab: Lab, key: ids.InstanceId, action: str = "start") -> Answer:
    answers: list[Answer] = []
    lab.model.change_state(key, action, answers.append)
    lab.run(1.0)
    (answer,) = answers
    return answer


def error(lab: Lab, key: ids.InstanceId = C1, action: str = "start") -> str:
    """The error of the operation, empty when it succeeded."""
    answer = ask(lab, key, action)
    assert isinstance(answer, Operation)
    assert answer.status == ("Failure" if answer.err else "Success")
    return answer.err


def lost() -> Lab:
    """A booted server that gave up on c1 because its device was late."""
    lab = Lab()
    lab.front.volumes = {"c1": missing("/dev/drbd1001")}
    return lab.booted(30.0)


def test_a_failed_start_leaves_the_power_state_and_a_later_start_works() -> None:
    """A20, A25: what a supervisor relies on."""
    lab = lost()
    assert lab.model.instance(C1).power == RUNNING
    assert error(lab) == "open /dev/drbd1001: no such file or directory"
    lab.all_well()
    used = lab.model.instance(C1).last_used_at
    assert error(lab) == ""
    assert lab.model.is_running(C1)
    assert lab.model.instance(C1).last_used_at > used


def test_a_start_by_api_does_not_resolve_the_warning_and_a_pass_does() -> None:
    """A9."""
    lab = lost()
    lab.all_well()
    assert error(lab) == ""
    assert [row.status for row in lab.model.warnings] == ["new"]
    lab = lost()
    lab.all_well()
    lab.model.units.restart()
    lab.run(5.0)
    assert lab.model.is_running(C1)
    assert [row.status for row in lab.model.warnings] == ["resolved"]


def test_a_running_instance_is_not_started_twice() -> None:
    lab = Lab().booted()
    assert error(lab) == "The instance is already running"
    assert len([start for start in lab.model.world.starts if start.instance == C1]) == 1


def test_two_starts_at_once_are_one_start() -> None:
    """R49: the second has the first one's outcome."""
    lab = lost()
    lab.all_well()
    answers: list[Answer] = []
    lab.model.change_state(C1, "start", answers.append)
    lab.model.change_state(C1, "start", answers.append)
    lab.run(2.0)
    assert [answer.status for answer in answers if isinstance(answer, Operation)] == ["Success"] * 2
    assert len([start for start in lab.model.world.starts if start.instance == C1]) == 1


def test_a_stop_during_a_start_is_refused() -> None:
    lab = lost()
    lab.front.volumes = {"c1": scripted_incus.hangs(lab.clock.now + 30.0)}
    lab.model.change_state(C1, "start")
    assert error(lab, action="stop") == 'Instance is busy running a "start" operation'


def test_a_start_waits_for_the_first_pass_and_is_done_even_if_the_asker_has_left() -> None:
    """R6, A25: incusd waits without looking at its client."""
    lab = Lab(InstanceSpec(name="c1"), InstanceSpec(name="c2", config={POWER: STOPPED}))
    lab.front.volumes = {"c1": missing("/dev/drbd1001")}
    lab.model.boot()
    lab.clock.advance(3.0)
    assert lab.phase() is Phase.AUTOSTART
    lab.model.change_state(C2, "start")
    lab.clock.advance(11.0)
    assert lab.running() == set()
    lab.clock.advance(14.0)
    assert lab.phase() is Phase.READY
    assert lab.running() == {"c2"}


def test_stopped_by_the_user_stays_stopped() -> None:
    """A31, A26."""
    lab = Lab().booted()
    assert error(lab, action="stop") == ""
    assert lab.model.instance(C1).power == STOPPED
    assert error(lab, action="stop") == "The instance is already stopped"
    lab.model.power_loss()
    lab.booted(lab.clock.now + 10.0)
    assert lab.running() == {"c2", "c3", "d1"}


def test_the_guest_powers_itself_off() -> None:
    lab = Lab().booted()
    lab.model.guest_poweroff(C1)
    assert lab.model.instance(C1).power == STOPPED
    assert not lab.model.is_running(C1)


def test_restart_by_api() -> None:
    lab = Lab().booted()
    pid = lab.model.world.running[C1].pid
    assert error(lab, action="restart") == ""
    assert lab.model.world.running[C1].pid != pid


def test_a_start_that_fails_late_writes_stopped() -> None:
    """A21: no candidate any more; and the stop hook waits for incusd's start to end (A12)."""
    lab = Lab(InstanceSpec(name="c1", late_failures=1)).booted(20.0)
    assert lab.phase() is Phase.AUTOSTART
    lab.clock.advance(45.0)
    assert lab.model.is_running(C1)  # the pass goes on with its next attempt
    lab = Lab(InstanceSpec(name="c1", late_failures=3)).booted(200.0)
    assert lab.model.instance(C1).power == STOPPED
    assert "Failed starting instance" in lab.messages()


def test_what_is_refused_before_storage_is_touched() -> None:
    lab = Lab(
        InstanceSpec(name="c1", config={POWER: STOPPED}),
        InstanceSpec(name="c2", config={"security.protection.start": "true", POWER: STOPPED}),
    ).booted()
    lab.model.instance(C1).is_in_error = True
    assert error(lab) == "The instance cannot be started as in Error status"
    assert error(lab, C2) == "Instance has startup protection enabled"
    assert lab.front.asked == []
    assert ask(lab, values.instance_id("nope")) == Refusal("Instance not found", 404)
    assert ask(lab, C1, "fly") == Refusal("Unknown action: 'fly'", 400)


def test_nothing_is_started_on_an_evacuated_member() -> None:
    server = values.ServerSpec(pools=POOLS, members=(values.MemberSpec(name="n1"),))
    lab = Lab(server=server).booted()
    lab.model.set_member_status("Evacuated")
    assert ask(lab, C1, "start") == Refusal("Cluster member is evacuated", 403)
    assert error(lab, action="stop") == ""


def test_a_virtual_machine_has_two_volumes() -> None:
    lab = Lab(InstanceSpec(name="v1", kind=InstanceKind.VIRTUAL_MACHINE, project="web")).booted()
    asked = [(volume.name, volume.kind, volume.content) for volume in lab.front.asked]
    kind = VolumeKind.VIRTUAL_MACHINES
    assert asked == [("web_v1", kind, ContentType.BLOCK), ("web_v1", kind, ContentType.FILESYSTEM)]
    assert "Started instance" not in lab.messages()  # machines log neither start nor end (6.2)
    assert lab.running() == {"v1"}


def test_custom_volumes_belong_to_the_project_that_has_them() -> None:
    """L23, L28: which volume a disk device means, and which of them count."""
    disk = {"type": "disk", "pool": "remote", "path": "/srv"}
    devices = {
        "data": {**disk, "source": "data"},
        "maybe": {**disk, "source": "maybe", "required": "false"},
        "off": {**disk, "source": "off", "attached": "false"},
        "snap": {**disk, "source": "old/snap0"},
        "host": {"type": "disk", "source": "/srv", "path": "/srv"},
    }
    projects = (
        values.ProjectSpec(name="own", config={"features.storage.volumes": "true"}),
        values.ProjectSpec(name="shared"),
    )
    server = values.ServerSpec(pools=POOLS, projects=projects)
    lab = Lab(
        InstanceSpec(name="a", project="own", devices=devices),
        InstanceSpec(name="b", project="shared", devices=devices),
        server=server,
    ).booted()
    custom = [volume.name for volume in lab.front.asked if volume.kind is VolumeKind.CUSTOM]
    assert custom == ["own_data", "own_old", "default_data", "default_old"]
    names = [volume.name for volume in lab.front.asked if volume.kind is VolumeKind.CONTAINERS]
    assert names == ["own_a", "shared_b"]


def test_errors_of_custom_volumes_name_device_and_volume() -> None:
    """G23; an unavailable pool of a custom volume skips silently as that of the root disk does (A7)."""
    disk = {"type": "disk", "pool": "remote", "path": "/srv", "source": "data"}
    lab = Lab(InstanceSpec(name="d1", pool="local", devices={"data": disk}))
    lab.front.mount = scripted_incus.OFFLINE
    lab.booted(10.0)
    pool = 'Storage pool "remote" unavailable on this server'
    assert error(lab, D1) == f'Failed pre-start check for device "data": {pool}'
    assert "Failed auto start instance attempt" not in lab.messages()
    lab.clock.advance(100.0)
    lab.all_well()
    lab.front.volumes = {"default_data": Failed(text="open /dev/drbd1009: wrong medium type")}
    lab.model.validate(["remote"])
    lab.run(1.0)
    mounting = 'Failed mounting custom storage volume "data" on storage pool "remote"'
    assert error(lab, D1) == (
        f'Failed to start device "data": {mounting}: open /dev/drbd1009: wrong medium type'
    )


def test_stateful_stop_at_shutdown_means_a_start_from_state() -> None:
    lab = Lab(
        InstanceSpec(name="c1", config={"boot.host_shutdown_action": "stateful-stop"})
    ).booted()
    lab.model.shut_down()
    lab.run(5.0)
    assert lab.model.instance(C1).is_stateful
    lab.booted(lab.clock.now + 10.0)
    assert lab.model.world.starts[-1].was_stateful
    assert not lab.model.instance(C1).is_stateful


def test_events_of_a_start_by_api_and_by_itself() -> None:
    """R76: no requestor for what incusd did by itself; a failed start gives no lifecycle event."""
    lab = Lab()
    lab.front.volumes = {"c1": missing("/dev/drbd1001")}
    lab.model.boot()
    lab.clock.advance(1.7)
    seen: list[EventBody] = []
    assert lab.model.daemon is not None
    lab.model.daemon.events.subscribe(ALL, seen.append)
    lab.clock.advance(30.0)
    lab.all_well()
    assert error(lab) == ""
    lifecycle = {
        event["metadata"]["name"]: "requestor" in event["metadata"]  # type: ignore[index,operator]
        for event in seen
        if event["type"] == "lifecycle"
    }
    assert lifecycle == {"c1": True, "c2": False, "c3": False, "d1": False}
    operations = [event["metadata"] for event in seen if event["type"] == "operation"]
    assert [operation["status"] for operation in operations] == ["Pending", "Running", "Success"]  # type: ignore[index]
    levels = {event["metadata"]["level"] for event in seen if event["type"] == "logging"}  # type: ignore[index]
    assert "debug" in levels or "info" in levels


def test_a_finished_operation_is_forgotten_after_five_seconds() -> None:
    lab = lost()
    lab.all_well()
    answer = ask(lab, C1)
    assert isinstance(answer, Operation)
    assert lab.model.daemon is not None
    assert lab.model.daemon.operations.get(answer.id) is answer
    assert answer.body["updated_at"] == answer.body["created_at"]
    lab.run(5.5)
    assert lab.model.daemon.operations.get(answer.id) is None
