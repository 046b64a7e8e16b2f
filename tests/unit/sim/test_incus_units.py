# SPDX-License-Identifier: Apache-2.0
"""incus.socket, incus.service, incus-startup.service (facts/incus.md section 1, U2-U5, U40-U43)."""

from tests import scripted_incus
from tests.scripted_incus import C1, POOLS, Lab

from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.incus.world import POWER, RUNNING, STOPPED


def test_after_a_power_loss_nobody_starts_incusd_when_db_bin_is_missing() -> None:
    """U4: incus-startup is active, incus.service inactive, nothing runs until somebody touches the socket."""
    lab = Lab(server=values.ServerSpec(pools=POOLS, has_db_dump=False)).booted(300.0)
    units = lab.model.units
    assert (units.startup.active, units.service.active) == ("active", "inactive")
    assert lab.running() == set()
    units.connect()
    lab.run(6.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}


def test_a_stale_dump_misses_what_was_created_since() -> None:
    lab = Lab(InstanceSpec(name="c1", config={POWER: STOPPED})).booted()
    assert lab.model.units.service.active == "inactive"  # the dump wants nothing
    lab.model.change_state(C1, "start")
    lab.run(5.0)
    assert lab.running() == {"c1"}
    lab.model.power_loss()
    lab.booted(lab.clock.now + 60.0)
    assert lab.model.instance(C1).power == RUNNING
    assert lab.running() == set()


def test_a_clean_stop_writes_the_dump() -> None:
    lab = Lab(InstanceSpec(name="c1", config={POWER: STOPPED})).booted()
    lab.model.change_state(C1, "start")
    lab.run(5.0)
    lab.model.shut_down()
    lab.run(10.0)
    assert lab.running() == set()
    assert lab.model.instance(C1).power == RUNNING  # A32
    assert lab.booted(lab.clock.now + 10.0).running() == {"c1"}


def test_an_https_address_starts_incusd_whatever_the_dump_says() -> None:
    server = values.ServerSpec(
        pools=POOLS, has_db_dump=False, config={"core.https_address": ":8443"}
    )
    assert Lab(server=server).booted().running() == {"c1", "c2", "c3", "d1"}


def test_a_touched_socket_starts_incusd_early() -> None:
    """U6: any client does."""
    lab = Lab()
    lab.model.boot()
    lab.clock.advance(0.7)
    lab.model.units.connect()
    lab.clock.advance(1.3)
    assert lab.phase() is Phase.AUTOSTART
    lab.clock.advance(10.0)
    assert lab.model.units.startup.active == "active"
    assert lab.messages().count("Starting up") == 1


def test_restart_keeps_instances_running() -> None:
    """U43: same processes, new daemon; the running ones' volumes are asked for anew (L80)."""
    lab = Lab().booted()
    pids = {key: instance.pid for key, instance in lab.model.world.running.items()}
    lab.front.asked.clear()
    daemon = lab.model.daemon
    lab.model.units.restart()
    lab.run(10.0)
    assert {key: instance.pid for key, instance in lab.model.world.running.items()} == pids
    assert lab.model.daemon is not daemon
    assert [volume.name for volume in lab.front.asked] == ["c1", "c2", "c3"]
    assert lab.phase() is Phase.READY
    assert lab.model.units.service.restarts == 0


def test_restart_while_the_controller_is_gone() -> None:
    """U45."""
    lab = Lab().booted()
    lab.front.mount = scripted_incus.OFFLINE
    lab.model.units.restart()
    lab.run(10.0)
    assert lab.messages().count("Failed to register device") == 3
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert lab.model.pool_status("remote") == "Unavailable"


def test_restart_after_s4_starts_everything() -> None:
    """Observed, and U44."""
    lab = Lab()
    lab.devices_missing()
    lab.booted(60.0)
    assert lab.running() == {"d1"}
    lab.all_well()
    lab.model.units.restart()
    lab.run(10.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert {row.status for row in lab.model.warnings} == {"resolved"}


def test_a_crash_is_followed_by_a_restart_and_harms_no_instance() -> None:
    lab = Lab().booted()
    lab.model.crash_daemon()
    assert lab.phase() is Phase.GONE
    lab.run(10.0)
    assert lab.phase() is Phase.READY
    assert lab.model.units.service.restarts == 1
    assert lab.running() == {"c1", "c2", "c3", "d1"}


def test_a_crash_during_the_first_pass_is_noticed_only_when_waitready_gives_up() -> None:
    """Observed with a panic (s10); a restart by hand does not have to wait."""
    lab = Lab()
    lab.front.volumes = {"c1": scripted_incus.hangs()}
    lab.booted(10.0)
    lab.all_well()
    lab.model.crash_daemon()
    lab.run(60.0)
    assert lab.model.units.service.sub == "start-post"
    assert lab.model.daemon is None
    lab.model.units.restart()
    lab.run(10.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}


def test_five_crashes_in_ten_seconds_close_the_socket() -> None:
    """D18: the start-rate limit of 5 in 10 s; then a connection is refused."""
    lab = Lab(InstanceSpec(name="c1", config={"boot.autostart": "false"}))
    lab.model.world.config["core.https_address"] = ":8443"
    lab.booted(5.0)
    for _ in range(5):
        assert lab.model.units.is_socket_open
        lab.model.crash_daemon()
        lab.run(1.2)
    assert lab.model.units.service.result == "start-limit-hit"
    assert not lab.model.units.is_socket_open


def test_a_stop_takes_back_a_start_that_waits() -> None:
    lab = Lab()
    gate = lab.model.hold_start()
    lab.booted(10.0)
    lab.model.units.stop()
    lab.run(1.0)
    gate.set()
    lab.run(10.0)
    assert lab.model.units.service.active == "inactive"
    assert lab.model.daemon is None


def test_sigterm_is_not_heard_while_incusd_starts() -> None:
    """U41: acted on when the start is over, or SIGKILL after the limit."""
    lab = Lab()
    lab.front.mount = scripted_incus.hangs()
    lab.booted(10.0)
    lab.model.units.stop()
    lab.clock.advance(60.0)
    assert lab.phase() is Phase.INITIALISING
    lab.all_well()
    lab.clock.advance(70.0)
    assert lab.phase() is Phase.GONE
    assert lab.model.units.service.active == "inactive"
    lab = Lab()
    lab.front.mount = scripted_incus.hangs()
    lab.booted(10.0)
    lab.model.units.stop()
    lab.clock.advance(345.0)
    assert lab.phase() is Phase.GONE


def test_waitready_gives_up_after_ten_minutes_and_the_cycle_begins_anew() -> None:
    """U42: 600 s, then SIGTERM that is not heard, then SIGKILL after 330 s, then a restart."""
    lab = Lab()
    lab.front.mount = scripted_incus.hangs()
    lab.booted(900.0)
    assert lab.messages().count("Starting up") == 1
    assert lab.model.units.startup.active == "failed"
    lab.clock.advance(940.0)
    assert lab.messages().count("Starting up") == 2
    assert lab.model.units.service.restarts == 1


def test_a_unit_that_incus_service_waits_for() -> None:
    """U10: the start job waits, connections stay queued; nothing is charged to incusd."""
    lab = Lab()
    gate = lab.model.hold_start()
    lab.booted(50.0)
    assert lab.model.daemon is None
    assert lab.model.units.service.active == "activating"
    gate.set()
    lab.run(6.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}


def test_a_shutdown_while_incusd_starts_skips_the_orderly_stop() -> None:
    """U19: what is killed with the machine keeps RUNNING, as after a power loss."""
    lab = Lab()
    lab.front.volumes = {"c2": scripted_incus.hangs()}
    lab.booted(10.0)
    assert lab.running() == {"c1"}
    lab.model.shut_down()
    lab.run(1.0)
    assert lab.running() == set()
    assert lab.model.instance(C1).power == RUNNING
    assert "Daemon stopped" not in lab.messages()
