# SPDX-License-Identifier: Apache-2.0
"""``recover/validate`` and the retry loop (facts/incus.md 2.2, 2.4; facts/observed.md, "Bringing a pool back at once")."""

import itertools

from tests import scripted_incus
from tests.scripted_incus import C1, Lab

from tidegate.sim.incus.model import Answer
from tidegate.sim.incus.operations import Operation
from tidegate.sim.incus.values import InstanceSpec, Refusal, instance_id
from tidegate.sim.incus.warnings import POOL_UNAVAILABLE
from tidegate.sim.storage import IncusVolume, VolumeKind


def offline() -> Lab:
    """A booted server whose LINSTOR node is OFFLINE."""
    lab = Lab()
    lab.front.mount = scripted_incus.OFFLINE
    return lab.booted(10.0)


def validate(lab: Lab, pool: str = "remote") -> Refusal | None:
    answers: list[Refusal | None] = []
    lab.model.validate([pool], answers.append)
    lab.run(1.0)
    assert len(answers) == 1
    return answers[0]


def start(lab: Lab, instance: str = "c1") -> str:
    """Start by API and return the operation's error text."""
    answers: list[Answer] = []
    key = instance_id(instance)
    lab.model.change_state(key, "start", answers.append)
    lab.run(1.0)
    (answer,) = answers
    assert isinstance(answer, Operation)
    assert answer.done.is_set
    return answer.err


def test_validate_fails_while_the_node_is_offline() -> None:
    lab = offline()
    refusal = validate(lab)
    assert refusal == Refusal('Failed mounting pool "remote": Node n1 is offline', 500)
    assert lab.model.pool_status("remote") == "Unavailable"


def test_validate_brings_the_pool_back_and_nothing_else() -> None:
    """D63: no warning resolved, nothing logged, no instance started; the loop does all three later."""
    lab = offline()
    assert start(lab) == 'Storage pool "remote" unavailable on this server'
    lab.all_well()
    before = lab.clock.now
    assert validate(lab) is None
    assert lab.model.pool_status("remote") == "Created"
    assert [row.status for row in lab.model.warnings] == ["new"]
    assert lab.messages(since=before) == []
    assert lab.running() == {"d1"}
    assert start(lab) == ""
    assert lab.running() == {"c1", "d1"}
    lab.clock.advance(64.0)
    assert lab.running() == {"c1", "c2", "c3", "d1"}
    assert [row.status for row in lab.model.warnings] == ["resolved"]


def test_validate_on_a_healthy_pool_that_fails_ends_it_for_good() -> None:
    """D64: no loop repairs it; another successful call does, or a restart of incusd."""
    lab = Lab().booted()
    lab.front.mount = scripted_incus.OFFLINE
    assert validate(lab) is not None
    lab.all_well()
    lab.run(600.0)
    assert lab.model.pool_status("remote") == "Unavailable"
    assert validate(lab) is None
    assert lab.model.pool_status("remote") == "Created"


def test_the_model_remembers_what_a_caller_did() -> None:
    """What checks of "only on an Unavailable pool, only after the first pass" rest on (contract, safety 2)."""
    lab = Lab()
    lab.front.mount = scripted_incus.OFFLINE
    lab.model.boot()
    lab.clock.advance(1.85)
    lab.model.validate(["remote"])
    lab.clock.advance(10.0)
    lab.all_well()
    validate(lab)
    validate(lab)
    seen = [
        (call.was_ready, call.was_unavailable, call.error) for call in lab.model.world.validations
    ]
    failed = 'Failed mounting pool "remote": Node n1 is offline'
    assert seen == [(False, True, failed), (True, True, ""), (True, False, "")]


def test_validate_mounts_volumes_that_incus_does_not_know() -> None:
    """D66: the harm that the contract's rule 2 is about."""
    lab = offline()
    stray = IncusVolume(pool="remote", kind=VolumeKind.CONTAINERS, name="ghost")
    lab.model.world.unknown_volumes = {"remote": (stray,)}
    lab.all_well()
    assert validate(lab) is None
    assert lab.model.world.mounted_unknown == [stray]


def test_validate_of_a_pool_that_does_not_load_or_exist() -> None:
    lab = Lab()
    lab.front.mount = scripted_incus.NO_MODULE
    lab.booted(60.0)
    refusal = validate(lab)
    assert refusal is not None
    assert refusal.text == f'Failed loading existing pool "remote": {scripted_incus.NO_MODULE.text}'
    assert lab.model.pool_status("remote") == "Created"
    assert validate(lab, "nope") == Refusal("Storage pool not found", 404)


def test_the_loop_goes_on_every_minute_until_the_pool_is_there() -> None:
    lab = offline()
    lab.clock.advance(290.0)
    failed = [line.at for line in lab.model.journal if line.msg == "Failed mounting storage pool"]
    pauses = [late - early for early, late in itertools.pairwise(failed)]
    assert len(failed) == 5
    assert all(59.99 < pause < 60.1 for pause in pauses)
    (row,) = lab.model.warnings
    assert (row.type, row.count, row.entity_url) == (POOL_UNAVAILABLE, 5, "")


def test_a_pool_lost_after_the_first_pass_goes_unnoticed() -> None:
    """D36, X9: no periodic check."""
    lab = Lab().booted()
    lab.front.mount = scripted_incus.OFFLINE
    lab.run(600.0)
    assert lab.model.pool_status("remote") == "Created"


def test_the_loop_panics_on_a_device_with_a_source_and_the_restart_starts_all() -> None:
    """D-RETRY-PANIC: incusd exits with status 2, systemd restarts it, the fresh process mounts and starts everything."""
    device = {"type": "unix-char", "source": "/dev/null", "path": "/dev/thing"}
    lab = Lab(InstanceSpec(name="c1", devices={"thing": device}), InstanceSpec(name="c2"))
    lab.front.mount = scripted_incus.OFFLINE
    lab.clock.at(25.0, lab.all_well)
    lab.booted(61.0)
    assert lab.model.units.service.restarts == 0
    lab.clock.advance(65.0)
    assert any(message.startswith("panic: runtime error") for message in lab.messages())
    assert lab.model.units.service.restarts == 1
    assert lab.running() == {"c1", "c2"}
    assert lab.model.is_running(C1)
