"""What is found wrong in units as people have them; each trap of the recipes in circulation."""

import pytest
from tests import unit_trees

from tidegate.core.finding import Finding, Grade
from tidegate.units import traps
from tidegate.units.deadlock import Controller, Place
from tidegate.units.host import HostView, IncusView, StoragePool
from tidegate.units.tree import Index

SATELLITE_D = f"{unit_trees.ETC}/linstor-satellite.service.d/override.conf"
INCUS_D = f"{unit_trees.ETC}/incus.service.d/override.conf"
MOUNT = "[Mount]\nWhat=/dev/vg/pools\nWhere=/srv/pools\nType=xfs\n"


def find(host: HostView) -> dict[str, Finding]:
    return {found.code: found for found in traps.find(host, Index(host.tree))}


def codes(packaging: str, files: dict[str, str]) -> set[str]:
    return set(find(unit_trees.host(packaging, files)))


STOCK = {"units.satellite-not-restarted", "units.incus-not-pulled", "units.stop-order-missing"}


def test_stock_leaves_three_things_open() -> None:
    assert codes("debian", {}) == STOCK


NAIVE = "[Unit]\nBefore=incus-lxcfs.service\n[Service]\nType=notify\n"


def test_the_recipe_on_debian_does_nothing_and_kills_the_satellite() -> None:
    found = find(
        unit_trees.host(
            files={
                SATELLITE_D: NAIVE,
                f"{unit_trees.ETC}/incus-lxcfs.service.wants/linstor-satellite.service": "-> /usr/lib/systemd/system/linstor-satellite.service",
            }
        )
    )
    assert "units.order-without-effect" in found
    assert "start time-out of 90 s" in found["units.satellite-start-timeout"].observed
    assert f"{SATELLITE_D}:4" in found["units.satellite-start-timeout"].observed


def test_the_recipe_on_zabbly_has_effect_and_is_no_order_without_one() -> None:
    found = codes("zabbly", {SATELLITE_D: NAIVE})
    assert "units.order-without-effect" not in found
    assert "units.stop-order-missing" not in found
    assert "units.satellite-start-timeout" in found


def test_the_recipe_without_a_time_out_waits_for_ever() -> None:
    text = "[Unit]\nBefore=incus.service\n[Service]\nType=notify\nTimeoutStartSec=infinity\n"
    assert "units.waits-for-ever" in codes("debian", {SATELLITE_D: text})


def test_the_recipe_with_the_controller_in_an_instance_is_told_as_a_loop() -> None:
    text = "[Unit]\nBefore=incus.service\n[Service]\nType=notify\nTimeoutStartSec=infinity\n"
    controller = Controller(place=Place.INSTANCE_HERE, instance="default/ctl")
    found = find(unit_trees.host(files={SATELLITE_D: text}, controller=controller))
    assert found["units.deadlock"].grade is Grade.FAILING
    assert "default/ctl" in found["units.deadlock"].observed


def test_an_order_on_the_wrong_unit_is_bypassed() -> None:
    text = "[Unit]\nAfter=linstor-satellite.service\n"
    path = f"{unit_trees.ETC}/incus-startup.service.d/x.conf"
    assert "units.order-bypassed" in codes("debian", {path: text})


def test_a_required_gate_is_a_tight_loop() -> None:
    found = find(
        unit_trees.host(
            files={
                INCUS_D: "[Unit]\nRequires=wait-storage.service\nAfter=wait-storage.service\n",
                f"{unit_trees.ETC}/wait-storage.service": "[Service]\nType=oneshot\nExecStart=/bin/sleep 3600\n",
            }
        )
    )
    assert f"{INCUS_D}:2" in found["units.required-hold"].observed
    assert "without a limit" in found["units.startup-too-short"].observed


@pytest.mark.parametrize(("limit", "too_long"), [("500s", False), ("560s", True)])
def test_a_hold_near_ten_minutes_gets_the_startup_unit_killed(
    limit: str, *, too_long: bool
) -> None:
    files = {
        INCUS_D: "[Unit]\nWants=w.service\nAfter=w.service\n",
        f"{unit_trees.ETC}/w.service": f"[Service]\nType=oneshot\nTimeoutStartSec={limit}\nExecStart=/x\n",
    }
    assert ("units.startup-too-short" in codes("debian", files)) is too_long


def test_a_file_pool_on_a_mount_that_nobody_waits_for() -> None:
    pool = StoragePool(name="files", provider="FILE_THIN", directory="/srv/pools/linstor")
    files = {f"{unit_trees.ETC}/srv-pools.mount": MOUNT}
    found = find(unit_trees.host(files=files, storage_pools=(pool,)))
    assert "srv-pools.mount" in found["units.bare-mount-point"].observed
    files[SATELLITE_D] = "[Unit]\nRequiresMountsFor=/srv/pools/linstor\n"
    assert "units.bare-mount-point" not in find(unit_trees.host(files=files, storage_pools=(pool,)))


def test_a_file_pool_behind_a_link_is_waited_for_where_it_really_is() -> None:
    pool = StoragePool(
        name="files", provider="FILE", directory="/var/pools", target="/srv/pools/linstor"
    )
    files = {f"{unit_trees.ETC}/srv-pools.mount": MOUNT}
    found = find(unit_trees.host(files=files, storage_pools=(pool,)))
    assert "/srv/pools/linstor lies on srv-pools.mount" in found["units.bare-mount-point"].observed
    assert "units.mount-unknown" not in found
    files[SATELLITE_D] = "[Unit]\nRequiresMountsFor=/var/pools /srv/pools/linstor\n"
    assert "units.bare-mount-point" not in find(unit_trees.host(files=files, storage_pools=(pool,)))


def test_a_file_pool_on_no_mount_is_not_known_to_be_right() -> None:
    pool = StoragePool(name="files", provider="FILE", directory="/srv/pools/linstor")
    found = find(unit_trees.host(storage_pools=(pool,)))
    assert found["units.mount-unknown"].grade is Grade.UNKNOWN


def test_incus_that_listens_is_started_at_every_boot() -> None:
    assert "units.incus-not-pulled" not in find(unit_trees.host(incus=IncusView(listens=True)))
    found = find(unit_trees.host(incus=IncusView(listens=None)))
    assert "not known" in found["units.incus-not-pulled"].observed


def test_images_on_linstor() -> None:
    found = find(unit_trees.host(incus=IncusView(volumes_on_linstor=("storage.images_volume",))))
    assert "incus config unset storage.images_volume" in found["units.fatal-volumes"].remedy


def test_a_circle_is_shown_with_its_lines() -> None:
    text = "[Unit]\nAfter=incus.service\n"
    files = {
        SATELLITE_D: text,
        INCUS_D: "[Unit]\nAfter=linstor-satellite.service\nWants=linstor-satellite.service\n",
    }
    found = find(unit_trees.host(files=files))["units.cycle"]
    assert f"{SATELLITE_D}:2" in found.observed
    assert "systemd would not start linstor-satellite.service" in found.observed


def test_a_satellite_that_nothing_starts() -> None:
    link = f"{unit_trees.ETC}/multi-user.target.wants/linstor-satellite.service"
    tree = unit_trees.host_tree("debian")
    entries = {path: entry for path, entry in tree.entries.items() if path != link}
    host = unit_trees.host(tree=type(tree)(entries=entries))
    assert find(host)["units.not-started"].remedy == "`systemctl enable linstor-satellite.service`"


def test_a_satellite_where_incus_does_not_look() -> None:
    text = "[Service]\nExecStart=\nExecStart=/opt/linstor/bin/Satellite\n"
    assert "units.driver-path" in codes("debian", {SATELLITE_D: text})


def test_what_stops_too_soon_and_drbd_service() -> None:
    assert "units.stop-too-short" in codes("zabbly", {})
    files = {
        f"{unit_trees.ETC}/drbd.service": "[Service]\nType=oneshot\nExecStart=/lib/drbd/scripts/drbd start\n",
        f"{unit_trees.ETC}/multi-user.target.wants/drbd.service": "-> ../drbd.service",
    }
    assert "units.drbd-service" in codes("debian", files)


def test_incus_units_that_are_masked() -> None:
    def masked(name: str) -> dict[str, Finding]:
        return find(unit_trees.host(files={f"{unit_trees.ETC}/{name}": "-> /dev/null"}))

    assert "incus.socket is masked" in masked("incus.socket")["units.cannot-start"].observed
    assert "lxcfs.service is masked" in masked("lxcfs.service")["units.cannot-start"].observed
    startup = masked("incus-startup.service")
    assert "units.cannot-start" not in startup
    assert "unmask incus-startup.service" in startup["units.no-clean-stop"].remedy


def test_what_counts_after_ours_is_named_with_its_line_and_not_sent_to_apply() -> None:
    after = f"{unit_trees.ETC}/linstor-satellite.service.d/zz.conf"
    ours = f"{unit_trees.ETC}/linstor-satellite.service.d/60-tidegate-satellite.conf"
    files = {after: "[Service]\nRestart=no\n", ours: "[Service]\nRestart=always\n"}
    found = find(unit_trees.host(files=files))["units.satellite-not-restarted"]
    assert f"{after}:2" in found.observed
    assert found.remedy.startswith("remove it there")
    notify = find(unit_trees.host(files={SATELLITE_D: "[Service]\nType=notify\n"}))
    assert f"remove Type=notify ({SATELLITE_D}:2)" in notify["units.stop-order-missing"].remedy


def test_the_worst_comes_first() -> None:
    found = traps.find(
        unit_trees.host(files={SATELLITE_D: NAIVE}),
        Index(unit_trees.host_tree("debian", {SATELLITE_D: NAIVE})),
    )
    grades = [finding.grade.badness for finding in found]
    assert grades == sorted(grades, reverse=True)
