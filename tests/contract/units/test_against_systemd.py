"""The graph against real systemd (252 and 257 were tried): orders, requirements, jobs of every unit of this machine; circles and victims of small sets."""

import functools
import os
import re
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from tests.contract.units import unit_sets

from tidegate.clients import unitfiles
from tidegate.units import cycles, graph, tree

SYSTEM = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
FOLDER = "/etc/systemd/system"


class Verdict(msgspec.Struct):
    """What systemd said of the order of a start transaction."""

    has_circle: bool
    is_fatal: bool
    victims: frozenset[str]


def of_systemd(root: Path) -> Verdict:
    done = subprocess.run(
        ["systemd-analyze", f"--root={root}", "verify", "--man=no", "boot.target"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "info", "LC_ALL": "C"},
    )
    said = done.stdout + done.stderr
    return Verdict(
        has_circle="Found ordering cycle" in said,
        is_fatal="Unable to break cycle" in said,
        victims=frozenset(re.findall(r"Job (\S+)/start deleted to break ordering cycle", said)),
    )


@functools.cache
def version() -> int:
    told = subprocess.run(
        ["systemd-analyze", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    return int(told.stdout.split()[1])


def compare(units: dict[str, str], root: Path) -> None:
    folder = root / FOLDER.lstrip("/")
    folder.mkdir(parents=True)
    unit_sets.write(units, folder)
    theirs = of_systemd(root)
    whole = graph.Graph(tree.Index(unitfiles.read(root)), ("boot.target",))
    boot = graph.transaction(whole, "boot.target", systemd=version())
    ours = cycles.find(whole, boot)
    assert theirs.has_circle == bool(ours)
    assert theirs.is_fatal == any(cycle.is_fatal for cycle in ours)
    knots = cycles.components(cycles.ordering(whole, boot))
    may_go = {name for knot in knots for name in knot if not boot.jobs[name].matters}
    assert theirs.victims <= may_go
    if len(ours) == 1 and not ours[0].is_fatal and set(ours[0].knot) == set(ours[0].units):
        assert theirs.victims <= set(ours[0].victims)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", unit_sets.BY_HAND)
def test_same_verdict_on_sets_made_for_one_rule_each(name: str, tmp_path: Path) -> None:
    compare(unit_sets.BY_HAND[name], tmp_path / "root")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("seed", range(60))
def test_same_verdict_on_sets_made_by_chance(seed: int, tmp_path: Path) -> None:
    compare(unit_sets.by_chance(seed), tmp_path / "root")


class Dump(msgspec.Struct):
    """What systemd has of every loaded unit: orders, requirements; and its start jobs."""

    loaded: set[str]
    orders: set[tuple[str, str]]
    needs: set[tuple[str, str, str]]
    jobs: set[str]


def dump(anchor: str) -> Dump:
    """Ask systemd itself, as an ordinary user, what starting ``anchor`` on this machine would mean."""
    done = subprocess.run(
        ["systemd", "--test", "--system", "--no-pager", f"--unit={anchor}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        user="nobody" if os.geteuid() == 0 else None,
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": ":".join(SYSTEM), "LC_ALL": "C"},
    )
    found = Dump(loaded=set(), orders=set(), needs=set(), jobs=set())
    unit = ""
    for line in done.stdout.splitlines():
        if match := re.match(r"\t(?:->|→) Unit (.*):$", line):
            unit = match[1]
        elif line.strip() == "Unit Load State: loaded":
            found.loaded.add(unit)
        elif match := re.match(r"\t\tBefore: (\S+)", line):
            found.orders.add((unit, match[1]))
        elif match := re.match(r"\t\t(Requires|Wants|BindsTo|Requisite): (\S+)", line):
            found.needs.add((unit, match[1], match[2]))
        elif match := re.match(r"\t\tAction: (\S+) -> start", line):
            found.jobs.add(match[1])
    return found


def is_of_the_running_machine(name: str) -> bool:
    """Units made from what is mounted and plugged here, not from files; and those that always run."""
    return name.endswith((".mount", ".device", ".swap")) or name in {
        "init.scope",
        "-.slice",
        "system.slice",
    }


@pytest.mark.needs("systemd")
@pytest.mark.parametrize("anchor", ["multi-user.target", "graphical.target", "rescue.target"])
def test_every_order_and_job_of_this_system_is_the_same(anchor: str) -> None:
    theirs = dump(anchor)
    if not theirs.jobs:
        pytest.skip("needs a systemd that tells its jobs to an ordinary user")
    whole = graph.Graph(tree.Index(unitfiles.read(search=SYSTEM)), (anchor,))
    both = theirs.loaded & {
        name for name, unit in whole.units.items() if unit.load is tree.Load.LOADED
    }
    solid = {name for name in both if not is_of_the_running_machine(name)}
    ours = {(name, to) for name in solid for to in whole.befores(name) if to in solid}
    assert ours == {(name, to) for name, to in theirs.orders if name in solid and to in solid}
    needs = {
        (name, need.kind.value, need.other)
        for name in solid
        for need in whole.needed(name)
        if need.other in solid
    }
    assert {need for need in needs if need[1] not in {"Conflicts", "Upholds"}} == {
        need for need in theirs.needs if need[0] in solid and need[2] in solid
    }
    jobs = graph.transaction(whole, anchor).jobs.keys()
    assert {job for job in jobs if not is_of_the_running_machine(job)} == {
        job for job in theirs.jobs if not is_of_the_running_machine(job)
    }


@pytest.mark.needs("systemd")
def test_the_whole_system_takes_less_than_a_second() -> None:
    before = time.process_time()
    files = unitfiles.read(search=SYSTEM)
    index = tree.Index(files)
    whole = graph.Graph(index, tuple(name for name in index.names() if "@." not in name))
    found = cycles.find(whole, graph.transaction(whole, "multi-user.target"))
    assert time.process_time() - before < 1.0
    assert len(whole.units) > 100
    assert found == ()
