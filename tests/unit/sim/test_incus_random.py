# SPDX-License-Identifier: Apache-2.0
"""Whatever befalls the Incus model, it stays sound, repeatable, and comes back once all is well."""

import random

import pytest
from tests import scripted_incus
from tests.scripted_incus import C1, C2, C3, D1, Lab

from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.world import STOPPED
from tidegate.sim.storage import Reply

REPLIES: tuple[Reply, ...] = (
    scripted_incus.MOUNTED,
    scripted_incus.OFFLINE,
    scripted_incus.NO_MODULE,
    scripted_incus.hangs(),
)


def misfortune(lab: Lab, chance: random.Random) -> None:
    """One thing that a person, a machine or LINSTOR may do at any moment."""
    model, key = lab.model, chance.choice((C1, C2, C3, D1))
    match chance.randrange(9):
        case 0:
            lab.front.mount = chance.choice(REPLIES)
        case 1:
            name = chance.choice(("c1", "c2", "c3"))
            replies = (
                scripted_incus.PREPARED,
                scripted_incus.hangs(),
                scripted_incus.missing("/dev/x"),
            )
            lab.front.volumes[name] = chance.choice(replies)
        case 2:
            model.crash_daemon()
        case 3:
            model.units.restart()
        case 4:
            model.power_loss()
            model.boot()
        case 5:
            model.change_state(key, chance.choice(("start", "stop", "restart")))
        case 6:
            model.validate(["remote"])
        case 7:
            model.guest_poweroff(key)
        case _:
            model.shut_down()
            lab.run(chance.uniform(0.0, 20.0))
            model.power_loss()
            model.boot()


def live(seed: int) -> Lab:
    """Five hundred seconds of misfortune."""
    chance = random.Random(seed)
    lab = Lab(seed=seed)
    lab.model.boot()
    for _ in range(60):
        lab.run(chance.uniform(0.0, 8.0))
        misfortune(lab, chance)
    return lab


@pytest.mark.parametrize("seed", range(40))
def test_all_that_should_run_runs_in_the_end(seed: int) -> None:
    lab = live(seed)
    lab.all_well()
    lab.run(1.0)
    lab.model.power_loss()
    lab.model.world.dump_database()
    lab.booted(lab.clock.now + 30.0)
    stopped = {key for key, record in lab.model.world.instances.items() if record.power == STOPPED}
    assert set(lab.model.world.running) == {C1, C2, C3, D1} - stopped
    assert lab.phase() in {Phase.READY, Phase.GONE}
    if lab.phase() is Phase.READY:
        assert not any(row.status == "new" for row in lab.model.warnings)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_lives_the_same_life(seed: int) -> None:
    one, two = live(seed), live(seed)
    assert list(one.model.journal) == list(two.model.journal)
    assert one.model.world.starts == two.model.world.starts
    assert [row.uuid for row in one.model.warnings] == [row.uuid for row in two.model.warnings]
