# SPDX-License-Identifier: Apache-2.0
"""Real boots, and made ones, against the order they should have had: each inversion with the cause a person would name."""

from tests import unit_trees
from tests.unit_boots import INCUS, SATELLITE, boot, recorded

from tidegate.core.finding import Grade
from tidegate.units import checked, compare, plan
from tidegate.units.compare import Cause, Check
from tidegate.units.host import READY_UNIT, GuardAccess, HostView, Options, StoragePool, Strategy
from tidegate.units.lastboot import BootTimes, UnitTimes
from tidegate.units.traps import Scene
from tidegate.units.tree import Index, Link

OVERRIDE = f"{unit_trees.ETC}/linstor-satellite.service.d/override.conf"
NOTIFY = {OVERRIDE: "[Unit]\nBefore=incus.service\n[Service]\nType=notify\n"}
SIMPLE = {OVERRIDE: "[Unit]\nBefore=incus.service\n"}
GOOD = {SATELLITE: UnitTimes(begun=2.0, up=2.0, ready=30.0), INCUS: UnitTimes(begun=3.0, up=8.0)}


def check(host: HostView, times: BootTimes) -> Check:
    return compare.check(Scene(host, Index(host.tree)), times)


def with_files(files: dict[str, str], times: BootTimes) -> Check:
    return check(unit_trees.host(files=files), times)


def applied(options: Options) -> HostView:
    """A Debian host with the plan carried out."""
    host = unit_trees.host()
    found = plan.make(host, options)
    units = {f"/usr/lib/systemd/system/{name}": text for name, text in host.own_units.items()}
    tree = host.tree.with_files({**units, **found.drop_ins})
    entries = {**tree.entries, **{path: Link(to) for path, to in found.links.items()}}
    return unit_trees.host(tree=type(tree)(entries=entries))


def causes(found: Check) -> dict[str, Cause]:
    return {one.first: one.cause for one in found.inversions}


def test_the_stock_boot_after_a_power_loss_is_one_inversion_with_both_times() -> None:
    found = with_files({}, recorded("real-boots/r-crash.boot.json.gz"))
    (one,) = found.inversions
    assert (one.first, one.then, one.cause) == (SATELLITE, INCUS, Cause.NO_ORDER)
    assert (one.began, one.over) == (3.638601, 39.312349)
    assert "incus.service began at 3.639 s" in one.finding.observed
    assert "was ready at 39.312 s" in one.finding.observed
    assert "units apply" in one.finding.remedy
    assert found.grade is Grade.FAILING
    assert found.kept > 5


def test_the_stock_boot_with_drbd() -> None:
    found = with_files({}, recorded("boots/fullstack/s2-power-loss.json.gz"))
    assert causes(found) == {SATELLITE: Cause.NO_ORDER}


def test_a_boot_of_the_lab_whose_satellite_waited_for_its_own_start_was_in_order() -> None:
    """The lab's stand-in is no fork: it has a start of its own; and what came first came first."""
    found = with_files(NOTIFY, recorded("boots/incus/s1-offline-25s.json.gz"))
    assert found.inversions == ()
    early = with_files({}, recorded("boots/incus/s1-offline-25s.json.gz"))
    assert early.grade is Grade.OK
    assert (found.by_chance, early.by_chance) == ((), ((SATELLITE, INCUS),))
    assert "by chance: no unit file orders incus.service after" in checked.text(early)


def test_the_recipe_that_names_a_unit_that_is_not_there_is_told_so() -> None:
    naive = {OVERRIDE: "[Unit]\nBefore=incus-lxcfs.service\n[Service]\nType=notify\n"}
    found = with_files(naive, recorded("real-boots/r-crash.boot.json.gz"))
    assert causes(found) == {SATELLITE: Cause.NO_ORDER}
    assert "there is no incus-lxcfs.service" in found.inversions[0].finding.observed
    assert f"{OVERRIDE}:2" in found.inversions[0].finding.observed


def test_an_order_with_a_satellite_that_says_when_it_is_ready_was_kept() -> None:
    found = with_files(NOTIFY, recorded("real-boots/r-notify-order.boot.json.gz"))
    assert found.inversions == ()
    assert found.grade is Grade.OK


def test_a_satellite_that_was_killed_let_incus_go() -> None:
    found = with_files(NOTIFY, recorded("real-boots/r-notify-ctrl-down.boot.json.gz"))
    assert causes(found) == {SATELLITE: Cause.FAILED}
    assert "had failed at 94.740 s (timeout)" in found.inversions[0].finding.observed


def test_an_order_with_a_satellite_that_counts_as_started_at_its_fork_is_worth_nothing() -> None:
    found = with_files(SIMPLE, boot(GOOD))
    assert causes(found) == {SATELLITE: Cause.COUNTS_AS_STARTED}
    text = found.inversions[0].finding.observed
    assert "counted as started at 2.000 s, at its fork, and was ready at 30.000 s" in text
    assert f"{OVERRIDE}:2" in text


def test_nobody_wrote_down_when_it_was_ready_so_nothing_is_proven() -> None:
    found = with_files(SIMPLE, boot({**GOOD, SATELLITE: UnitTimes(begun=2.0, up=2.0)}))
    assert causes(found) == {SATELLITE: Cause.UNPROVEN}
    assert found.grade is Grade.UNKNOWN


def test_an_order_that_was_written_after_that_boot() -> None:
    late = boot({**GOOD, SATELLITE: UnitTimes(begun=3.5, up=3.5, ready=30.0)})
    assert causes(with_files(SIMPLE, late)) == {SATELLITE: Cause.NOT_IN_FORCE}


def test_an_order_on_the_startup_check_is_bypassed_by_the_socket() -> None:
    files = {
        f"{unit_trees.ETC}/incus-startup.service.d/x.conf": "[Unit]\nAfter=linstor-satellite.service\n"
    }
    late = boot({**GOOD, SATELLITE: UnitTimes(begun=3.5, up=3.5, ready=30.0)})
    found = with_files(files, late)
    assert causes(found) == {SATELLITE: Cause.STARTED_BY_SOCKET}
    assert "x.conf:2" in found.inversions[0].finding.observed


def test_a_satellite_that_is_not_enabled_or_lost_its_job_in_a_circle() -> None:
    only_incus = {INCUS: GOOD[INCUS]}
    tree = unit_trees.host_tree("debian")
    link = f"{unit_trees.ETC}/multi-user.target.wants/linstor-satellite.service"
    entries = {path: entry for path, entry in tree.entries.items() if path != link}
    found = check(unit_trees.host(tree=type(tree)(entries=entries)), boot(only_incus))
    assert causes(found) == {SATELLITE: Cause.NOT_ENABLED}
    assert found.inversions[0].finding.remedy == "`systemctl enable linstor-satellite.service`"
    dropped = with_files({}, boot(only_incus, dropped=(SATELLITE,)))
    assert causes(dropped) == {SATELLITE: Cause.DROPPED}
    gone = with_files({}, boot(only_incus))
    assert causes(gone) == {SATELLITE: Cause.NEVER_STARTED}
    assert gone.absent == (SATELLITE,)


def test_with_the_gate_in_force_the_gate_is_what_counts() -> None:
    host = applied(Options())
    gate = UnitTimes(begun=1.5, up=30.2)
    held = {**GOOD, READY_UNIT: gate, INCUS: UnitTimes(begun=30.3, up=34.0)}
    assert check(host, boot(held)).inversions == ()
    early = check(host, boot({**GOOD, READY_UNIT: gate}))
    assert causes(early) == {READY_UNIT: Cause.NOT_IN_FORCE}
    assert early.grade is Grade.FAILING
    # A gate that was ended lets Incus go, and that is said.
    ended = check(
        host, boot({**GOOD, READY_UNIT: UnitTimes(begun=1.5, failed=2.5, result="timeout")})
    )
    assert causes(ended) == {READY_UNIT: Cause.FAILED}


def test_with_the_guard_incus_may_begin_before_the_storage_but_not_before_the_guard() -> None:
    host = applied(Options(guard=GuardAccess()))
    sockets = {"tidegate-guard.socket": UnitTimes(begun=0.5, up=0.5)}
    good = {**GOOD, **sockets, "tidegate-guard.service": UnitTimes(begun=0.6, up=1.0)}
    assert check(host, boot(good)).inversions == ()
    without = check(host, boot({**GOOD, **sockets}))
    assert causes(without) == {"tidegate-guard.service": Cause.NEVER_STARTED}
    assert without.grade is Grade.DEGRADED


def test_the_order_strategy_has_its_gate_as_well() -> None:
    host = applied(Options(strategy=Strategy.ORDER))
    times = boot({**GOOD, READY_UNIT: UnitTimes(begun=1.0, up=2.9)})
    assert check(host, times).inversions == ()


def test_storage_below_the_satellite_that_came_after_it() -> None:
    late = boot({**GOOD, "network-online.target": UnitTimes(begun=2.5, up=2.5)})
    found = with_files({}, late)
    assert causes(found)["network-online.target"] is Cause.NOT_IN_FORCE
    pool = StoragePool(name="files", provider="FILE_THIN", directory="/srv/pools/linstor")
    mount = "[Mount]\nWhat=/dev/vg/pools\nWhere=/srv/pools\nType=xfs\nOptions=nofail\n"
    files = {
        f"{unit_trees.ETC}/srv-pools.mount": mount,
        f"{unit_trees.ETC}/local-fs.target.wants/srv-pools.mount": "-> ../srv-pools.mount",
    }
    host = unit_trees.host(files=files, storage_pools=(pool,))
    times = boot({**GOOD, "srv-pools.mount": UnitTimes(begun=1.0, up=2.5)})
    bare = check(host, times)
    assert causes(bare)["srv-pools.mount"] is Cause.NO_ORDER
    assert bare.inversions[0].finding.grade is Grade.FAILING


def test_a_boot_in_which_incus_did_not_start_proves_nothing() -> None:
    found = with_files({}, boot({SATELLITE: GOOD[SATELLITE]}))
    assert found.absent == (INCUS,)
    assert found.grade is Grade.UNKNOWN


def test_every_cause_has_a_code_and_a_remedy() -> None:
    assert set(compare.CODES) == set(Cause)


def test_it_is_told_in_order_with_times_causes_and_remedies() -> None:
    text = checked.text(with_files({}, recorded("real-boots/r-crash.boot.json.gz")))
    lines = text.splitlines()
    assert lines[1] == "     3.639 s  incus.service  up at 8.583 s"
    assert lines[2] == "     3.651 s  linstor-satellite.service  up at 3.651 s, ready at 39.312 s"
    assert "(units.started-unordered)" in text
    assert "→ `tidegate units apply`" in text
    assert max(map(len, lines)) <= 100
