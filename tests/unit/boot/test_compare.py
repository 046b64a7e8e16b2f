"""Two boots side by side, the critical path, the order of starts."""

import itertools

import pytest
from tests import boot_journals
from tests.boot_journals import Journal

from tidegate.boot import compare
from tidegate.boot.analysis import at_index


def test_a_slower_boot_says_by_how_much_and_why() -> None:
    good = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    bad = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 72)
    bad.incus(
        'level=error msg="Failed mounting storage pool" err="dial tcp: connect: connection refused" pool=remote',
        at=10.3,
    )
    bad.incus('level=info msg="Initialized storage pool" pool=remote', at=70)
    bad.satellite("Something never said before", at=50)

    found = compare(good.analyse(), bad.analyse())

    assert [cause.code for cause in found.new_causes if cause.first] == ["controller.refused"]
    assert "new: controller.refused" in found.sentence
    active = next(change for change in found.changes if change.name == "unit.incus.service")
    assert active.delta == pytest.approx(60)
    assert any("never said before" in shape.shape for shape in found.new_shapes)


@pytest.mark.parametrize(
    ("stock", "earlier", "gap"),
    [
        # Seconds by which the containers' own devices were usable earlier (c1, c3, image, c2), and from ONLINE to the last device.
        ("e0-stock-all-restarted", {"1002": 214, "1004": 231, "1000": 244, "1003": 263}, 197),
        ("s2-power-loss", {"1002": 248, "1004": 256, "1000": 269, "1003": 290}, 81),
    ],
)
def test_devices_first_on_a_real_node(stock: str, earlier: dict[str, int], gap: int) -> None:
    """facts/early-observed.md: devices before ONLINE, before the satellite's process; nothing lost instead of three containers."""
    before = boot_journals.recorded(f"fullstack/{stock}.json.gz")[0]
    after = boot_journals.recorded("fullstack/e1-devices-first.json.gz")[0]

    found = compare(before, after)

    told = {change.title: change for change in found.changes}
    deltas = {minor: told[f"drbd{minor} usable"].delta for minor in earlier}
    assert deltas == {minor: pytest.approx(-seconds, abs=0.6) for minor, seconds in earlier.items()}
    between = told["from ONLINE to the last device"]
    assert between.before == pytest.approx(gap, abs=1)
    assert between.after == 0
    jvm = told["linstor-satellite.service active"].after
    assert jvm is not None
    assert (told["last device usable"].after or jvm) < jvm, "before the satellite's process"
    assert "devices usable" in found.sentence
    assert "earlier" in found.sentence
    assert "later" not in found.sentence
    if stock.startswith("e0"):
        assert found.sentence.startswith("0 instances lost instead of 3")


def test_what_devices_first_costs_the_satellite_is_told() -> None:
    plain = Journal().host_up().satellite_up(2, connects=4, run=6)
    early = Journal().host_up()
    early.systemd("Starting tidegate-devices.service - Tidegate: DRBD devices ...", at=2)
    early.systemd("Started tidegate-devices.service - Tidegate: DRBD devices ...", at=2.8)
    early.satellite_up(3, connects=5, run=7)

    found = compare(plain.analyse(), early.analyse())

    held = next(change for change in found.changes if change.name == "phase.devices-first")
    assert (held.title, held.before) == ("devices first holds the satellite", None)
    assert held.after == pytest.approx(0.8)


def test_a_boot_is_as_fast_as_itself() -> None:
    boot = boot_journals.recorded("real/r-crash.json.gz")[0]

    found = compare(boot, boot)

    assert found.new_causes == found.gone_causes == ()
    assert all(change.delta in {None, 0} for change in found.changes)


def test_the_critical_path_has_no_gap_and_says_what_would_have_saved_most() -> None:
    boot = boot_journals.recorded("fullstack/s2-power-loss.json.gz")[0]

    steps = boot.path.steps
    assert steps[0].begin == 0
    assert all(one.end == two.begin for one, two in itertools.pairwise(steps))
    assert steps[-1].end == boot.path.end
    assert "would have been" in boot.path.sentence
    assert any(
        step.phase == "satellite.wait-controller" and step.gain == pytest.approx(9.3, abs=0.1)
        for step in steps
    )


def test_the_order_of_starts_shows_who_was_too_early() -> None:
    boot = boot_journals.recorded("real/r-crash.json.gz")[0]

    rows = {row.unit: row for row in boot.order}
    assert rows["incus.service"].too_early_by == pytest.approx(35.67, abs=0.05)
    assert rows["linstor-satellite.service"].active == pytest.approx(3.65, abs=0.01)
    assert rows["linstor-satellite.service"].ready == pytest.approx(39.3, abs=0.05)


def test_boots_are_counted_as_journalctl_does() -> None:
    boots = boot_journals.recorded("lab/power-gate.txt.gz")

    assert at_index(boots, 0) is boots[-1]
    assert at_index(boots, -1) is boots[-2]
    assert at_index(boots, 1) is boots[0]
    assert at_index(boots, -9) is None
