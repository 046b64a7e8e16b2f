"""Plans: the choice and its reasons, what is written, the proof, and that a second one changes nothing."""

import msgspec
import pytest
from tests import unit_trees

from tidegate.config.policy import FailPolicy
from tidegate.units import plan, render, report
from tidegate.units.deadlock import BroughtUpBy, Controller, Place
from tidegate.units.graph import Graph
from tidegate.units.host import (
    Addition,
    GuardAccess,
    HostView,
    IncusView,
    Options,
    StoragePool,
    Strategy,
)
from tidegate.units.plan import Plan
from tidegate.units.tree import Index, Link

GATE = render.path("incus.service", "gate")
STOP = render.path("incus.service", "stop")
SATELLITE = render.path("linstor-satellite.service", "satellite")
STARTUP = render.path("incus-startup.service", "startup")
GUARD = render.path("incus.service", "guard")
VARIABLES = render.variables_path("incus.service", "guard")
LIMIT = render.path("tidegate-ready.service", "limit")
IN_CTL = Controller(place=Place.INSTANCE_HERE, instance="default/ctl")


def made(host: HostView | None = None, **options: object) -> Plan:
    return plan.make(host or unit_trees.host(), msgspec.convert(options, Options))


def applied(host: HostView, found: Plan) -> HostView:
    """The host after the plan was carried out."""
    files = {f"/usr/lib/systemd/system/{name}": text for name, text in host.own_units.items()}
    tree = host.tree.with_files({**files, **found.drop_ins})
    links = {path: Link(to) for path, to in found.enable.items()}
    return msgspec.structs.replace(
        host, tree=msgspec.structs.replace(tree, entries={**tree.entries, **links})
    )


def codes(found: Plan) -> list[str]:
    return [trouble.code for trouble in found.refusals]


@pytest.mark.parametrize("packaging", unit_trees.PACKAGINGS)
def test_every_packaging_gets_the_gate_on_incus_itself(packaging: str) -> None:
    host = unit_trees.host(packaging)
    found = made(host)
    assert found.strategy is Strategy.GATE
    assert "After=tidegate-ready.service\nWants=tidegate-ready.service\n" in found.drop_ins[GATE]
    assert not any(
        "Requires=" in line
        for line in found.drop_ins[GATE].splitlines()
        if not line.startswith("#")
    )
    whole = Graph(Index(applied(host, found).tree), ("incus.service",))
    assert whole.is_before("tidegate-ready.service", "incus.service")
    assert whole.is_before("linstor-satellite.service", "incus.service")
    assert not found.left or packaging == "zabbly"


@pytest.mark.parametrize("packaging", unit_trees.PACKAGINGS)
@pytest.mark.parametrize("strategy", Strategy)
def test_a_second_plan_changes_nothing_and_removal_takes_all_away(
    packaging: str, strategy: Strategy
) -> None:
    host = unit_trees.host(packaging)
    first = made(host, strategy=strategy)
    after = applied(host, first)
    again = made(after, strategy=strategy)
    assert again.changes == ()
    assert again.enable == {}
    assert again.today == first.today
    assert {change.path for change in plan.removal(after.tree)} == set(first.drop_ins)
    assert (
        plan.without_ours(after.tree).entries.keys()
        == after.tree.entries.keys() - first.drop_ins.keys()
    )


def test_another_strategy_takes_the_drop_ins_of_the_first_away() -> None:
    host = unit_trees.host()
    after = applied(host, made(host))
    found = made(after, strategy="guard")
    gone = {change.path for change in found.changes if change.after is None}
    assert {GATE, STARTUP, LIMIT} <= gone


def test_a_change_is_shown_as_a_difference() -> None:
    host = unit_trees.host()
    after = applied(host, made(host))
    (change,) = [one for one in made(after, timeout=120).changes if one.path == LIMIT]
    assert (
        "-Environment=TIDEGATE_GATE_LIMIT=300\n+Environment=TIDEGATE_GATE_LIMIT=120\n"
        in change.difference
    )


@pytest.mark.parametrize(
    ("options", "startup", "cap"),
    [
        ({}, "900s", "540"),
        ({"timeout": 900.0}, "1500s", "900"),
        ({"policy": "fail-closed"}, "infinity", "540"),
    ],
)
def test_what_the_gate_may_take_is_added_to_the_startup_unit(
    options: dict[str, object], startup: str, cap: str
) -> None:
    found = made(None, **options)
    assert f"TimeoutStartSec={startup}\n" in found.drop_ins[STARTUP]
    assert f"TIDEGATE_GATE_CAP={cap}\n" in found.drop_ins[LIMIT]


def test_the_boot_starts_incus_where_nothing_else_surely_does() -> None:
    assert "Wants=incus.service" in made().drop_ins[LIMIT]
    listens = unit_trees.host(incus=IncusView(listens=True))
    assert "Wants=incus.service" not in made(listens).drop_ins[LIMIT]
    assert "Wants=incus.service" not in made(unit_trees.host("source")).drop_ins[LIMIT]


def test_the_satellite_comes_back_from_every_death_and_after_its_mounts() -> None:
    pool = StoragePool(name="files", provider="FILE_THIN", directory="/srv/my pools")
    found = made(unit_trees.host(storage_pools=(pool,)))
    text = found.drop_ins[SATELLITE]
    assert "Restart=always\n" in text
    assert "StartLimitIntervalSec=0\n" in text
    assert 'RequiresMountsFor="/srv/my pools"\n' in text
    assert any("one that fails holds it" in reason for reason in found.reasons)
    assert "Type=notify" not in text


def test_the_controller_in_an_instance_gets_the_guard_and_hears_why() -> None:
    found = made(unit_trees.host(controller=IN_CTL))
    assert found.strategy is Strategy.GUARD
    assert any("default/ctl" in reason for reason in found.reasons)
    assert GATE not in found.drop_ins
    for strategy in ("gate", "order"):
        refused = made(unit_trees.host(controller=IN_CTL), strategy=strategy)
        assert codes(refused) == ["units.deadlock"]
        assert "Incus waits for the gate" in refused.refusals[0].text
        assert "guard" in refused.refusals[0].hint
        assert refused.changes == ()


def test_a_member_that_others_vote_with_is_not_held_for_a_controller_among_them() -> None:
    there = Controller(place=Place.INSTANCE_ELSEWHERE, instance="default/ctl")
    found = made(unit_trees.host(controller=there, incus=IncusView(clustered=True)))
    assert found.strategy is Strategy.GUARD
    refused = made(unit_trees.host(controller=there), strategy="gate", policy="fail-closed")
    assert "none of them ever becomes ready when the members" in refused.refusals[0].text
    assert any("--strategy guard" in offer for offer in refused.offers)


def test_a_host_on_which_nobody_enabled_incus_is_not_made_to_start_it() -> None:
    tree = unit_trees.host_tree("debian")
    links = {"incus-startup.service", "incus.socket"}
    entries = {
        path: entry
        for path, entry in tree.entries.items()
        if not (".wants/" in path and path.rpartition("/")[2] in links)
    }
    found = made(unit_trees.host(tree=type(tree)(entries=entries)))
    assert "Wants=incus.service" not in found.drop_ins[LIMIT]
    assert "units.not-started" in {finding.code for finding in found.left}


def test_what_the_plan_rests_on_is_shown_also_where_it_refuses() -> None:
    pools = (
        StoragePool(name="fast", provider="LVM_THIN"),
        StoragePool(name="slow", provider="FILE_THIN", directory="/srv/slow"),
    )
    host = unit_trees.host(
        controller=IN_CTL, storage_pools=pools, incus=IncusView(clustered=True, listens=True)
    )
    for strategy in (Strategy.GUARD, Strategy.GATE):
        shown = " ".join(report.text(made(host, strategy=strategy)).split())
        assert "LINSTOR controller: instance-here (default/ctl);" in shown
        assert "storage pools: fast LVM_THIN, slow FILE_THIN (/srv/slow);" in shown
        assert "Incus: member of a cluster" in shown


def test_images_on_linstor_get_the_gate_and_never_the_guard() -> None:
    incus = IncusView(volumes_on_linstor=("storage.images_volume",))
    assert made(unit_trees.host(incus=incus)).strategy is Strategy.GATE
    assert codes(made(unit_trees.host(incus=incus), strategy="guard")) == ["units.guard-is-fatal"]
    nothing = made(unit_trees.host(incus=incus, controller=IN_CTL))
    assert codes(nothing) == ["units.deadlock", "units.guard-is-fatal"]


def test_order_is_only_asked_for_and_waits_through_the_same_bounded_unit() -> None:
    found = made(strategy="order")
    assert "Type=notify\nTimeoutStartSec=infinity\n" in found.drop_ins[SATELLITE]
    assert "After=tidegate-ready.service" in found.drop_ins[GATE]
    assert "linstor-satellite.service" not in found.drop_ins[STOP].split("[Unit]")[1]
    assert not any(finding.code == "units.waits-for-ever" for finding in found.left)


@pytest.mark.parametrize(
    "controller",
    [
        Controller(),
        Controller(place=Place.THIS_HOST, database_on_drbd=True, brought_up_by=BroughtUpBy.SYSTEM),
    ],
)
def test_order_is_refused_where_it_cannot_be_proven(controller: Controller) -> None:
    assert codes(made(unit_trees.host(controller=controller), strategy="order")) == [
        "units.order-unproven"
    ]


def test_fail_closed_is_refused_where_it_may_never_end() -> None:
    unknown = unit_trees.host(controller=Controller())
    assert codes(made(unknown, policy=FailPolicy.CLOSED)) == ["units.closed-unproven"]
    assert made(unknown).strategy is Strategy.GATE
    on_drbd = Controller(place=Place.THIS_HOST, database_on_drbd=True)
    assert codes(made(unit_trees.host(controller=on_drbd), policy=FailPolicy.CLOSED)) == [
        "units.closed-for-ever"
    ]


def test_the_recipe_that_is_there_does_not_make_incus_wait_for_ever_through_us() -> None:
    override = f"{unit_trees.ETC}/linstor-satellite.service.d/override.conf"
    text = "[Unit]\nBefore=incus-lxcfs.service\n[Service]\nType=notify\nTimeoutStartSec=infinity\n"
    found = made(unit_trees.host(files={override: text}))
    assert "linstor-satellite.service" not in found.drop_ins[STOP].split("[Unit]")[1]
    assert not any(finding.code == "units.waits-for-ever" for finding in found.left)


def test_a_satellite_that_would_be_killed_while_it_waits_for_a_controller_is_left_alone() -> None:
    override = f"{unit_trees.ETC}/linstor-satellite.service.d/10-notify.conf"
    found = made(unit_trees.host(files={override: "[Service]\nType=notify\n"}))
    assert "TimeoutStartSec=infinity\n" in found.drop_ins[SATELLITE]
    assert "units.satellite-start-timeout" in {finding.code for finding in found.cured}
    # Where Incus waits for it by an order of theirs, that would be a wait for ever: the finding stays, and says what to remove.
    text = "[Unit]\nBefore=incus.service\n[Service]\nType=notify\n"
    held = made(unit_trees.host(files={override: text}))
    assert "TimeoutStartSec" not in held.drop_ins[SATELLITE]
    assert "units.satellite-start-timeout" in {finding.code for finding in held.left}


@pytest.mark.parametrize("strategy", [None, *Strategy])
def test_a_recipe_that_deadlocks_is_refused_with_the_loop_and_its_lines(
    strategy: Strategy | None,
) -> None:
    """Whatever we wrote beside it: the order and Type=notify of that file stay."""
    override = f"{unit_trees.ETC}/linstor-satellite.service.d/override.conf"
    text = "[Unit]\nBefore=incus.service\n[Service]\nType=notify\nTimeoutStartSec=infinity\n"
    found = made(unit_trees.host(files={override: text}, controller=IN_CTL), strategy=strategy)
    assert set(codes(found)) == {"units.deadlock"}
    assert "lives in the instance default/ctl" in found.refusals[0].text
    if strategy in {None, Strategy.GUARD}:
        assert f"{override}:2" in found.refusals[0].hint
        assert f"{override}:4" in found.refusals[0].hint
    today = {one.code: one for one in found.today}["units.deadlock"]
    assert f"{override}:4" in today.remedy
    gone = unit_trees.host(controller=IN_CTL)
    assert made(gone).strategy is Strategy.GUARD


def test_an_own_unit_that_is_masked_is_named_so() -> None:
    agent = f"{unit_trees.ETC}/tidegate-agent.service"
    found = made(unit_trees.host(files={agent: "-> /dev/null"}))
    assert codes(found) == ["units.masked"]
    assert found.refusals[0].hint == "`systemctl unmask tidegate-agent.service`"


def test_an_order_of_somebody_else_that_closes_a_circle_is_refused_and_shown() -> None:
    path = f"{unit_trees.ETC}/linstor-satellite.service.d/x.conf"
    found = made(unit_trees.host(files={path: "[Unit]\nAfter=incus-startup.service\n"}))
    assert "units.cycle" in codes(found)
    assert f"{path}:2" in found.refusals[0].text
    assert found.changes == ()
    assert found.strategy is None


def test_units_that_are_not_installed_are_named() -> None:
    found = made(unit_trees.host(own_units={}))
    assert codes(found) == ["units.not-installed"] * 2


def test_an_unknown_packaging_is_refused_and_nothing_proposed() -> None:
    found = made(unit_trees.host("unknown"))
    assert codes(found) == ["units.unknown-packaging"]
    assert found.drop_ins == {}


@pytest.mark.parametrize("timeout", [0.0, -1.0, 1e9])
def test_limits_that_are_none_are_refused(timeout: float) -> None:
    assert codes(made(timeout=timeout)) == ["units.bad-timeout"]


def test_what_is_cured_and_what_is_left() -> None:
    found = made(unit_trees.host("zabbly"))
    assert [finding.code for finding in found.left] == ["units.stop-too-short"]
    assert {finding.code for finding in found.cured} == {
        "units.satellite-not-restarted",
        "units.incus-not-pulled",
        "units.stop-order-missing",
    }


ACCESS = GuardAccess(controllers=("https://192.0.2.1:3371", "https://192.0.2.2:3371"))


def enabled(found: Plan) -> set[str]:
    return {path.rpartition("/")[2] for path in found.links}


def test_an_enabled_guard_is_first_in_incus_list_and_its_secret_in_no_unit_file() -> None:
    found = made(guard=ACCESS)
    assert found.strategy is Strategy.GUARD
    listed = found.drop_ins[VARIABLES]
    assert listed.splitlines()[-1] == (
        "LS_CONTROLLERS=http://127.0.0.1:13370,https://192.0.2.1:3371,https://192.0.2.2:3371"
    )
    text = found.drop_ins[GUARD]
    assert f"EnvironmentFile=-{VARIABLES}\n" in text
    assert "EnvironmentFile=-/var/lib/tidegate/guard.env\n" in text
    assert "After=tidegate-guard.socket tidegate-guard.service\n" in text
    assert "LS_PASSWORD" not in text
    assert enabled(found) == {
        "tidegate-agent.service",
        "tidegate-guard.service",
        "tidegate-guard.socket",
    }


def test_the_clusters_own_key_needs_no_list_of_this_node() -> None:
    found = made(guard=GuardAccess())
    assert VARIABLES not in found.drop_ins
    assert found.drop_ins[GUARD].count("EnvironmentFile=") == 1


def test_with_the_guard_nobody_waits_for_the_gate_so_it_is_not_enabled() -> None:
    assert enabled(made()) == {"tidegate-agent.service", "tidegate-ready.service"}
    assert enabled(made(strategy="guard")) == {"tidegate-agent.service"}
    host = unit_trees.host()
    first = made(host)
    after = msgspec.structs.replace(applied(host, first), own_links=first.enable)
    (gone,) = made(after, guard=ACCESS).disable
    assert gone.endswith("tidegate-agent.service.wants/tidegate-ready.service")


def test_gate_and_guard_hold_together_where_incus_own_volumes_need_the_gate() -> None:
    incus = IncusView(volumes_on_linstor=("storage.images_volume",))
    found = made(unit_trees.host(incus=incus), guard=ACCESS)
    assert found.strategy is Strategy.GATE
    assert {GATE, GUARD} <= found.drop_ins.keys()
    assert {"tidegate-ready.service", "tidegate-guard.socket"} <= enabled(found)


def test_a_guard_that_nobody_enabled_is_said_to_be_idle() -> None:
    assert any("tidegate guard enable" in reason for reason in made(strategy="guard").reasons)


TUNED = Addition(
    unit="linstor-satellite.service",
    topic="tune",
    why="Less memory.",
    sections={"Service": ("Environment=JAVA_OPTS=-Xms32M",)},
)


def test_what_other_rooms_want_is_written_with_or_without_an_order_of_the_boot() -> None:
    path = render.path(TUNED.unit, "tune")
    whole = made(additions=(TUNED,))
    assert "Environment=JAVA_OPTS=-Xms32M\n" in whole.drop_ins[path]
    assert GATE in whole.drop_ins
    alone = made(additions=(TUNED,), guard=ACCESS, order=False)
    assert alone.drop_ins.keys() == {path, GUARD, VARIABLES}
    assert enabled(alone) == {"tidegate-guard.service", "tidegate-guard.socket"}


@pytest.mark.parametrize(
    "asked",
    [
        {"guard": GuardAccess(controllers=("http://x\nExecStart=/bin/sh",))},
        {"guard": GuardAccess(secret_file="/a b")},
        {"additions": (msgspec.structs.replace(TUNED, topic="gate"),)},
        {"additions": (msgspec.structs.replace(TUNED, topic="../x"),)},
        {"additions": (msgspec.structs.replace(TUNED, unit="x"),)},
        {"additions": (msgspec.structs.replace(TUNED, sections={"Service": ("[Unit]",)}),)},
    ],
)
def test_nothing_is_smuggled_into_a_unit_file(asked: dict[str, object]) -> None:
    found = plan.make(unit_trees.host(), Options(**asked))  # type: ignore[arg-type]
    assert codes(found) == ["units.unwritable"]
    assert found.drop_ins == {}


def test_a_refusal_offers_what_works_and_that_is_a_plan() -> None:
    found = made(unit_trees.host(controller=IN_CTL), strategy="order")
    assert found.offers[0].startswith("`--strategy guard`")
    assert not any("--strategy gate" in offer for offer in found.offers)
    assert any("second LINSTOR controller outside of default/ctl" in one for one in found.offers)
    assert made(unit_trees.host(controller=IN_CTL), strategy="guard").strategy is Strategy.GUARD
    second = msgspec.structs.replace(IN_CTL, others=True)
    # With one that takes over the gate has no loop; an order still cannot be proven.
    again = made(unit_trees.host(controller=second), strategy="order")
    assert [offer.split("`")[1] for offer in again.offers[:2]] == [
        "--strategy guard",
        "--strategy gate",
    ]


def test_where_no_strategy_works_only_changes_to_the_host_are_offered() -> None:
    incus = IncusView(volumes_on_linstor=("storage.images_volume",))
    found = made(unit_trees.host(incus=incus, controller=IN_CTL))
    assert not any("--strategy" in offer for offer in found.offers)
    assert any("storage.images_volume" in offer for offer in found.offers)


def test_fail_closed_that_never_ends_is_offered_open() -> None:
    unknown = unit_trees.host(controller=Controller())
    found = made(unknown, policy=FailPolicy.CLOSED, strategy="gate")
    assert found.offers[0].startswith("`--policy fail-open`")
    assert any("--controller" in offer for offer in found.offers)


def test_a_controller_on_the_storage_that_it_controls_has_to_move() -> None:
    on_linstor = msgspec.structs.replace(IN_CTL, instance_on_linstor=True)
    found = made(unit_trees.host(controller=on_linstor), strategy="order")
    assert found.offers[0].startswith("move default/ctl to a pool that is not LINSTOR's")
    assert not any("--strategy" in offer for offer in found.offers)


def test_why_the_controllers_place_is_unknown_stands_in_the_reasons() -> None:
    lost = Controller(because="nothing on this host says which address linstor.example has")
    found = made(unit_trees.host(controller=lost))
    assert any("linstor.example" in reason for reason in found.reasons)
    refused = made(unit_trees.host(controller=lost), strategy="order")
    assert "linstor.example" in refused.refusals[0].text
    assert any("linstor.example" in one.observed for one in found.left)


def test_in_a_cluster_every_member_is_ordered_by_itself() -> None:
    found = made(unit_trees.host(incus=IncusView(clustered=True)))
    assert any("apply it on every member" in reason for reason in found.reasons)
