"""Orders and jobs. That they are systemd's own is shown in tests/contract/units; here, what a reader relies on."""

import pytest
from tests import unit_trees
from tests.contract.units import unit_sets

from tidegate.units import graph, implied
from tidegate.units.graph import Graph
from tidegate.units.tree import Index


def jobs(units: dict[str, str], systemd: int = 252) -> set[str]:
    return set(graph.transaction(unit_trees.graph_of(units), "boot.target", systemd=systemd).jobs)


def test_an_order_says_where_it_is_written() -> None:
    found = unit_trees.graph_of(
        {
            "boot.target": unit_sets.target("Wants=a.service"),
            "a.service": unit_sets.service("After=b.service"),
        }
    )
    assert found.befores("b.service") == {"a.service": "After= in /etc/systemd/system/a.service:3"}
    assert "b.service" in found.afters("a.service")


def test_all_that_a_unit_waits_for() -> None:
    units = {
        "boot.target": unit_sets.target("Wants=a.service"),
        "a.service": unit_sets.service("After=b.service"),
        "b.service": unit_sets.service("Before=x.service", "After=c.service"),
    }
    assert {"b.service", "c.service"} <= unit_trees.graph_of(units).waits_for("a.service")


def test_required_jobs_matter_and_wanted_ones_do_not() -> None:
    units = {
        "boot.target": unit_sets.target("Requires=a.service", "Wants=b.service"),
        "a.service": unit_sets.service("BindsTo=c.service"),
        "b.service": unit_sets.service("Requires=d.service"),
        **unit_sets.plain("c", "d"),
    }
    found = graph.transaction(unit_trees.graph_of(units), "boot.target").jobs
    matter = {name for name, job in found.items() if job.matters and name.endswith(".service")}
    assert matter == {"a.service", "c.service"}
    assert not found["d.service"].matters


def test_what_fails_stays_in_an_old_systemd_and_goes_in_a_new_one() -> None:
    units = {
        "boot.target": unit_sets.target("Wants=a.service c.service"),
        "a.service": unit_sets.service("Requires=gone.service", "Wants=b.service"),
        **unit_sets.plain("b", "c"),
    }
    assert {"a.service", "b.service", "c.service"} <= jobs(units, systemd=252)
    new = jobs(units, systemd=257)
    assert "c.service" in new
    assert not {"a.service", "b.service"} & new


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "is masked"), ("[Service]\nType=simple\n", "is refused"), (None, "has no unit file")],
)
def test_a_failure_of_the_anchor_says_why(text: str | None, why: str) -> None:
    units = {"boot.target": unit_sets.target("Requires=a.service")}
    if text is not None:
        units["a.service"] = text
    assert why in graph.transaction(unit_trees.graph_of(units), "boot.target").failure


def test_long_chains_are_no_trouble() -> None:
    units = {f"u{n}.service": unit_sets.service(f"Requires=u{n + 1}.service") for n in range(2000)}
    units |= {
        "u2000.service": unit_sets.service(),
        "boot.target": unit_sets.target("Wants=u0.service"),
    }
    assert len([name for name in jobs(units) if name.startswith("u")]) == 2001


def test_incus_waits_for_its_socket_and_pulls_lxcfs_in() -> None:
    whole = Graph(Index(unit_trees.host_tree("debian")), ("incus.service",))
    assert whole.is_before("incus.socket", "incus.service")
    assert "lxcfs.service" in graph.transaction(whole, "incus.service").jobs
    kinds = {need.kind for need in whole.needed("incus.service") if need.other == "lxcfs.service"}
    assert kinds == {implied.Kind.REQUIRES}
