"""Circles, who is sacrificed, what goes with it, and how a person is told."""

from hypothesis import given
from hypothesis import strategies as st
from tests import unit_trees
from tests.contract.units import unit_sets

from tidegate.units import cycles, graph, show
from tidegate.units.cycles import Cycle


def found(units: dict[str, str]) -> tuple[Cycle, ...]:
    whole = unit_trees.graph_of(units)
    return cycles.find(whole, graph.transaction(whole, "boot.target"))


def test_a_circle_is_told_in_its_order_with_the_lines_that_make_it() -> None:
    (circle,) = found(unit_sets.BY_HAND["three, two of them required"])
    assert circle.units == ("a.service", "c.service", "b.service")
    assert circle.victims == ("c.service",)
    assert circle.why[0] == "After= in /etc/systemd/system/c.service:3"
    text = show.circle(circle)
    assert "a.service  comes before  c.service" in text
    assert "systemd would not start c.service" in text


def test_a_fatal_circle_has_no_victim() -> None:
    (circle,) = found(unit_sets.BY_HAND["all required: fatal"])
    assert circle.is_fatal
    assert "refuses to start any of it" in show.circle(circle)


def test_what_requires_the_victim_goes_with_it() -> None:
    units = {
        "boot.target": unit_sets.target("Wants=a.service b.service web.service"),
        "a.service": unit_sets.service("After=b.service"),
        "b.service": unit_sets.service("After=a.service"),
        "web.service": unit_sets.service("Requires=a.service"),
        "shop.service": unit_sets.service(),
    }
    (circle,) = found(units)
    assert circle.lost == {"a.service": ("web.service",), "b.service": ()}
    assert "Without a.service these go as well: web.service." in show.circle(circle)


def test_two_knots_are_two_circles() -> None:
    assert len(found(unit_sets.BY_HAND["two knots"])) == 2


def test_a_job_that_waits_already_cannot_be_dropped() -> None:
    whole = unit_trees.graph_of(
        {
            "boot.target": unit_sets.target("Wants=a.service"),
            "a.service": unit_sets.service("After=b.service"),
            "b.service": unit_sets.service("After=a.service", "Wants=c.service"),
            "c.service": unit_sets.service(),
        },
        "boot.target",
        "b.service",
    )
    boot = graph.transaction(whole, "boot.target")
    assert cycles.find(whole, boot) == ()
    later = graph.transaction(whole, "b.service", frozenset(boot.jobs))
    (circle,) = cycles.find(whole, later)
    assert circle.is_fatal


def test_dot_shows_the_circle() -> None:
    whole = unit_trees.graph_of(unit_sets.BY_HAND["two that wait for each other"])
    boot = graph.transaction(whole, "boot.target")
    text = show.dot(whole, boot, cycles.find(whole, boot))
    assert '"a.service" -> "b.service" [color=red];' in text


@given(
    st.dictionaries(
        st.sampled_from("abcdefg"), st.sets(st.sampled_from("abcdefg"), max_size=4), max_size=7
    )
)
def test_components_are_what_reaches_each_other(edges: dict[str, set[str]]) -> None:
    whole = {node: sorted(edges.get(node, set()) - {node}) for node in "abcdefg"}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        queue = [start]
        while queue:
            for step in whole[queue.pop()]:
                if step not in seen:
                    seen.add(step)
                    queue.append(step)
        return seen

    expected = {
        frozenset(other for other in "abcdefg" if other in reach(node) and node in reach(other))
        for node in "abcdefg"
    } - {frozenset()}
    assert {frozenset(knot) for knot in cycles.components(whole)} == {
        knot for knot in expected if len(knot) > 1
    }
    for knot in cycles.components(whole):
        circle = cycles.shortest(knot, whole)
        for node, then in zip(circle, (*circle[1:], circle[0]), strict=True):
            assert then in whole[node]
