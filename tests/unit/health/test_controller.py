# SPDX-License-Identifier: Apache-2.0
"""The controller: the client's trouble becomes the finding, with the client's own hint."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import edit, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.finding import Finding, Grade, Report
from tidegate.core.snapshot import Source
from tidegate.core.trouble import Trouble
from tidegate.health import catalogue
from tidegate.health.judge import judge


def report(**more: Any) -> Report:
    return judge(world(**more), HealthPolicy())


def lost(code: str, hint: str = "", **more: Any) -> Finding:
    trouble = Trouble(code=code, text="http://10.88.0.1:3370 does not", hint=hint)
    made = report(lost={Source.LINSTOR: trouble}, **more)
    assert not made.ready(ids.CONTROLLER)
    (finding,) = made.about(ids.CONTROLLER)
    return finding


TRANSIENT = ("refused", "unreachable", "timeout", "timeout-connect", "disconnected", "error")
LASTING = ("tls", "unauthorized", "not-linstor", "redirected", "bad-address", "none-configured")


@pytest.mark.parametrize("slug", TRANSIENT)
def test_trouble_that_may_pass_is_waited_for(slug: str) -> None:
    finding = lost(f"controller.{slug}")
    assert (finding.code, finding.grade) == (f"controller.{slug}", Grade.FAILING)
    assert finding.waiting
    assert finding.remedy


@pytest.mark.parametrize("slug", LASTING)
def test_trouble_that_needs_a_person_is_not(slug: str) -> None:
    assert not lost(f"controller.{slug}").waiting
    assert catalogue.needs_person(f"controller.{slug}")


def test_the_clients_hint_wins_and_an_unknown_code_is_an_error() -> None:
    assert lost("controller.tls", hint="the CA is not ours").remedy == "the CA is not ours"
    assert lost("controller.invented-later").code == "controller.error"


def test_a_hung_look_is_unknown() -> None:
    assert lost("source.hung").grade is Grade.UNKNOWN


def test_fine_slow_stale_and_not_asked() -> None:
    state = report().subjects["controller"]
    assert (state.ready, state.summary) == (
        True,
        "LINSTOR 1.34.0 at http://10.88.0.1:3370 answers in 12 ms",
    )
    controller = facts.healthy_sections()[Source.LINSTOR]["controller"]
    slow = report(controller=edit(controller, latency=4.2))
    assert slow.ready(ids.CONTROLLER)
    assert [f.code for f in slow.about(ids.CONTROLLER)] == ["controller.slow"]
    for more, code in (
        ({"stale": (Source.LINSTOR,)}, "source.stale"),
        ({"silent": (Source.LINSTOR,)}, "source.new"),
    ):
        made = report(**more)
        assert not made.ready(ids.CONTROLLER)
        assert [f.code for f in made.about(ids.CONTROLLER)] == [code]


def test_without_linstor_it_is_not_wanted() -> None:
    made = report(off=(Source.LINSTOR,), instances={}, pools={})
    assert not made.subjects["controller"].wanted
    assert not made.subjects["satellite"].wanted
    assert made.grade is Grade.OK
