# SPDX-License-Identifier: Apache-2.0
"""Boots under faults, of which no recording is kept: facts/observed.md, the table of scenarios, and facts/incus.md 2.1, 3.1."""

import pytest
from tests import scripted_incus
from tests.scripted_incus import C1, D1, Lab

from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.incus.warnings import AUTOSTART_FAILURE
from tidegate.sim.storage import Failed


def failures(lab: Lab) -> dict[str, str]:
    """Status of each autostart warning by instance."""
    return {row.entity: row.status for row in lab.model.warnings if row.type == AUTOSTART_FAILURE}


def test_s3_a_pool_that_cannot_be_loaded_stays_created_and_burns_every_attempt() -> None:
    lab = Lab()
    lab.front.mount = scripted_incus.NO_MODULE
    lab.clock.at(20.0, lab.all_well)
    lab.booted(15.0)
    assert lab.model.pool_status("remote") == "Created"
    assert "Failed loading storage pool" in lab.messages()
    assert "Failed mounting storage pool" not in lab.messages()
    assert failures(lab) == {"default/c1": "new"}
    assert lab.running() == set()
    lab.clock.advance(70.0)  # only the retry loop brings c1 back (D51, observed: 63)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert failures(lab) == {"default/c1": "resolved"}


def test_s5_devices_that_come_within_the_attempts_lose_nothing() -> None:
    lab = Lab()
    lab.devices_missing()
    lab.clock.at(8.0, lab.all_well)
    lab.booted(20.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    attempts = [
        line for line in lab.model.journal if line.msg == "Failed auto start instance attempt"
    ]
    assert [line.context["attempt"] for line in attempts] == ["1", "2"]
    assert list(lab.model.warnings) == []


@pytest.mark.parametrize("until", [40.0, None])
def test_s8_a_controller_that_never_answers_blocks_everything(until: float | None) -> None:
    lab = Lab()
    lab.front.mount = scripted_incus.hangs(until)
    lab.clock.at(40.0, lab.all_well)
    lab.booted(39.0)
    assert lab.phase() is Phase.INITIALISING
    assert lab.running() == set()  # d1 too, though its pool is fine
    assert lab.model.units.startup.active == "activating"
    lab.clock.advance(46.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert lab.phase() is Phase.READY


def test_a_volume_that_hangs_blocks_the_pass_but_not_reading() -> None:
    lab = Lab()
    lab.front.volumes = {"c1": scripted_incus.hangs()}
    lab.booted(100.0)
    assert lab.phase() is Phase.AUTOSTART
    assert lab.model.units.service.active == "activating"
    assert lab.running() == set()


def test_one_volume_lost_for_ever_while_the_others_come_up() -> None:
    """s9: a volume without a device path for the time of its attempts; nobody retries (A22)."""
    lab = Lab()
    lab.front.volumes = {"c1": Failed(text="open : no such file or directory")}
    lab.clock.at(20.0, lab.all_well)
    lab.booted(300.0)
    assert lab.running() == {"c2", "c3", "d1"}
    assert failures(lab) == {"default/c1": "new"}
    assert lab.model.units.service.active == "active"


def test_eight_processors_start_two_at_a_time() -> None:
    server = values.ServerSpec(pools=scripted_incus.POOLS, cpus=8)
    lab = Lab(*(InstanceSpec(name=f"c{n}") for n in range(1, 5)), server=server).booted()
    starts = [start.at for start in lab.model.world.starts]
    assert starts[0] == starts[1]
    assert starts[2] == starts[3]
    assert starts[2] > starts[0]


def test_a_priority_puts_an_instance_behind_those_without() -> None:
    """A4, A5: by priority descending, then name; the delay is slept after a success."""
    lab = Lab(
        InstanceSpec(name="a", config={"boot.autostart.priority": "1"}),
        InstanceSpec(
            name="b", config={"boot.autostart.priority": "10", "boot.autostart.delay": "3"}
        ),
        InstanceSpec(name="z"),
        InstanceSpec(name="y", config={"boot.autostart.delay": "0"}),
    ).booted(20.0)
    order = [start.instance.name for start in lab.model.world.starts]
    assert order == ["z", "b", "a", "y"]
    at = {str(start.instance.name): start.at for start in lab.model.world.starts}
    assert at["a"] - at["b"] > 3.0


@pytest.mark.parametrize(
    ("config", "is_started"),
    [
        ({}, True),
        ({"volatile.last_state.power": "STOPPED"}, False),
        ({"boot.autostart": "last-state", "volatile.last_state.power": "STOPPED"}, False),
        ({"boot.autostart": "last-state"}, True),
        ({"boot.autostart": "true", "volatile.last_state.power": "STOPPED"}, True),
        ({"boot.autostart": "false"}, False),
    ],
)
def test_who_is_started_by_itself(config: dict[str, str], is_started: bool) -> None:
    lab = Lab(InstanceSpec(name="c1", config=config)).booted()
    assert lab.model.is_running(C1) is is_started


def test_an_evacuated_member_starts_nothing() -> None:
    server = values.ServerSpec(
        pools=scripted_incus.POOLS, members=(values.MemberSpec(name="n1", status="Evacuated"),)
    )
    lab = Lab(server=server).booted()
    assert lab.phase() is Phase.READY
    assert lab.running() == set()


def test_only_instances_of_this_member_are_started() -> None:
    members = (values.MemberSpec(name="n1"), values.MemberSpec(name="n2"))
    server = values.ServerSpec(pools=scripted_incus.POOLS, members=members)
    lab = Lab(InstanceSpec(name="c1"), InstanceSpec(name="c9", location="n2"), server=server)
    assert lab.booted().running() == {"c1"}


def test_warnings_of_earlier_boots_are_resolved_and_fresh_ones_kept() -> None:
    """D14: what was last seen before this start is resolved when the API opens."""
    lab = Lab()
    lab.devices_missing()
    lab.booted(40.0)
    assert failures(lab) == {f"default/{name}": "new" for name in ("c1", "c2", "c3")}
    lab.all_well()
    lab.model.power_loss()
    lab.front.volumes = {"c1": scripted_incus.missing("/dev/drbd1001")}
    lab.booted(lab.clock.now + 20.0)
    assert failures(lab) == {
        "default/c1": "new",
        "default/c2": "resolved",
        "default/c3": "resolved",
    }
    assert next(row.count for row in lab.model.warnings if row.entity == "default/c1") == 2


def test_images_on_an_unavailable_pool_keep_incusd_from_starting() -> None:
    """D19: fatal; and the unit sits in start-post until waitready gives up (I7), then the same again."""
    server = values.ServerSpec(
        pools=scripted_incus.POOLS, config={"storage.images_volume": "remote/images"}
    )
    lab = Lab(server=server)
    lab.front.mount = scripted_incus.OFFLINE
    lab.booted(590.0)
    assert lab.messages().count("Failed to start the daemon") == 1
    assert lab.model.units.service.sub == "start-post"
    assert lab.model.units.startup.active == "failed"
    lab.clock.advance(610.0)
    assert lab.messages().count("Failed to start the daemon") == 2
    assert lab.model.units.service.restarts == 1
    lab.all_well()
    lab.model.units.restart()  # what a person would do
    lab.run(6.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}


def test_a_pending_patch_needs_all_pools() -> None:
    """D19b."""
    server = values.ServerSpec(pools=scripted_incus.POOLS, is_patch_pending=True)
    lab = Lab(server=server)
    lab.front.mount = scripted_incus.OFFLINE
    lab.booted()
    (line,) = [line for line in lab.model.journal if line.msg == "Failed to start the daemon"]
    assert "Unavailable storage pools: [remote]" in line.context["err"]


def test_a_demo_shrinks_only_incus_own_waits() -> None:
    lab = Lab(timings=IncusTimings().scaled(0.1))
    lab.front.mount = scripted_incus.OFFLINE
    lab.clock.at(4.0, lab.all_well)
    lab.booted(7.5)
    assert lab.running() == {"d1"}
    lab.clock.advance(9.5)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    started = next(start.at for start in lab.model.world.starts if start.instance == D1)
    assert started == pytest.approx(2.1, abs=0.3)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_no_factor_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        IncusTimings().scaled(factor)


def test_s10_an_answer_without_volumes_brings_incusd_down_and_nobody_comes() -> None:
    """Observed: it panics in its first pass, and waitready keeps the unit activating until 602."""
    lab = Lab()
    text = "panic: runtime error: index out of range [0] with length 0"
    lab.front.volumes = {"c1": Failed(text=text, panics=True)}
    lab.clock.at(20.0, lab.all_well)
    lab.booted(600.0)
    assert lab.messages().count(text) == 1
    assert lab.phase() is Phase.GONE
    assert lab.model.units.service.active == "activating"
    lab.clock.advance(610.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert lab.model.units.service.restarts == 1
    assert lab.front.processes == 2
