# SPDX-License-Identifier: Apache-2.0
"""systemd's own opinion of a plan, before anything is written: every plan of ours stands it, a broken one does not."""

from pathlib import Path

import msgspec
import pytest
from tests import unit_trees

from tidegate.agent import unitproof
from tidegate.units import plan
from tidegate.units.host import Addition, GuardAccess, Options, Strategy


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("packaging", unit_trees.PACKAGINGS)
@pytest.mark.parametrize("strategy", Strategy)
async def test_our_plans_stand(packaging: str, strategy: Strategy) -> None:
    host = unit_trees.host(packaging)
    guard = GuardAccess(controllers=("http://192.0.2.1:3370",))
    found = await unitproof.planned(host, Options(strategy=strategy, guard=guard))
    assert found.refusals == ()
    assert found.strategy is strategy
    assert not any("could not be asked" in reason for reason in found.reasons)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    ("line", "said"),
    [("LimitNOFILE=many", "many"), ("TimeoutStartSec=soon", "soon"), ("Tpye=simple", "Tpye")],
)
async def test_what_systemd_objects_to_is_refused_in_its_own_words(line: str, said: str) -> None:
    bad = Addition(
        unit="linstor-satellite.service", topic="tune", why="x", sections={"Service": (line,)}
    )
    found = await unitproof.planned(unit_trees.host(), Options(additions=(bad,)))
    assert {one.code for one in found.refusals} == {"units.systemd-objects"}
    assert any(said in one.text for one in found.refusals)
    assert "60-tidegate-tune.conf" in found.refusals[0].text
    assert (found.changes, found.strategy) == ((), None)


@pytest.mark.needs("systemd-analyze")
async def test_what_was_wrong_before_us_is_no_objection() -> None:
    path = f"{unit_trees.ETC}/linstor-satellite.service.d/x.conf"
    host = unit_trees.host(files={path: "[Service]\nTpye=simple\n"})
    assert (await unitproof.planned(host, Options())).refusals == ()


async def test_without_systemd_analyze_the_reasons_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.clients.process._PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await unitproof.planned(unit_trees.host(), Options())
    assert found.refusals == ()
    assert "systemd-analyze could not be asked" in found.reasons[-1]


async def test_a_plan_with_nothing_to_do_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    host = unit_trees.host()
    first = plan.make(host, Options())
    _, whole = plan.trees(host, first)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("tidegate.clients.process._PATH", "/nonexistent")
    done = await unitproof.planned(msgspec.structs.replace(host, tree=whole), Options())
    assert done.changes == ()
    assert not any("could not be asked" in reason for reason in done.reasons)
