# SPDX-License-Identifier: Apache-2.0
"""Snapshots in files: read back as they were, judged alike when masked, and masked through and through."""

import pytest
from tests import health_facts as facts
from tests.health_facts import N1, N2, RD, VOL, world
from tests.unit.health.test_every_finding import CASES

from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import (
    DefinitionFacts,
    HostFacts,
    IncusFacts,
    IncusPhase,
    NeededVolume,
)
from tidegate.core.finding import Report
from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.snapshot import Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.health.judge import judge
from tidegate.report import saved


def essence(report: Report) -> list[tuple[str, str, bool]]:
    return [(one.code, one.grade, one.waiting) for one in report.findings]


def test_read_back_as_it_was() -> None:
    snapshot = world(wanted=facts.kept_map())
    kept = saved.decode(saved.encode(snapshot, version="1", masked=False))
    assert (kept.snapshot, kept.masked) == (snapshot, False)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_masked_snapshot_is_judged_as_the_whole_one(case: tuple[object, ...]) -> None:
    sections = case[2]
    assert isinstance(sections, dict)
    whole = world(**sections)
    assert sorted(essence(judge(saved.mask(whole), HealthPolicy()))) == sorted(
        essence(judge(whole, HealthPolicy()))
    )


def secretive() -> Snapshot:
    trouble = Trouble(
        code="controller.refused",
        text="http://ctl.example.org:3370: bastion at 10.88.0.1 and fd00::17 refuses",
    )
    link = facts.connection(peer=NodeName("bastion"), state="Connecting")
    return world(
        wanted=facts.kept_map(controllers=("http://ctl.example.org:3370",)),
        lost={Source.LINSTOR: trouble},
        drbd={RD: facts.drbd_resource(connections=(link,))},
        nodes={"n1": facts.node(N1), "bastion": facts.node(NodeName("bastion"))},
    )


def test_no_name_and_no_address_is_left() -> None:
    data = saved.encode(secretive(), version="1", masked=True).decode()
    for secret in ("bastion", "example.org", "10.88.0.1", "fd00::17", "c1c1", '"n1"', '"remote"'):
        assert secret not in data
    assert "incus-volume-resource-1" in data, "whose volume it is can still be seen"
    assert "/dev/drbd1002" in data


def test_nothing_that_people_name_is_left() -> None:
    """Volumes of others too, networks, groups, peers that only DRBD knows, and the server's own name."""
    aux = {
        "res-1": "incus-volume-default_acme-db",
        "res-2": "incus-volume-shop_web",
        "res-3": "bare-name",
    }
    need = NeededVolume(pool=facts.POOL, type="custom", name="default_acme-db")
    snapshot = world(
        definitions={
            name: DefinitionFacts(
                name=ResourceName(name),
                resource_group="gold-tier",
                aux_name=told,
                aux_type="custom",
            )
            for name, told in aux.items()
        },
        instances={
            str(facts.C1): facts.instance(needs=(need,), networks=("acme-lan",), status="Stopped")
        },
        nodes={"n1": facts.node(N1)},
        drbd={
            RD: facts.drbd_resource(
                connections=(facts.connection(peer=NodeName("vault")), facts.connection(N2))
            )
        },
        placements={RD: (facts.placement(N1), facts.placement(NodeName("Vault")))},
        host=HostFacts(drbd_module="9.3.3", satellite_present=True, drbd_named=(RD, "forgotten")),
        incus=IncusFacts(phase=IncusPhase.READY, version="7.0.2", server_name="bigiron"),
    )
    masked = saved.mask(snapshot)
    text = saved.encode(snapshot, version="1", masked=True).decode()
    for secret in (
        "acme",
        "shop_web",
        "bare-name",
        "gold-tier",
        "vault",
        "Vault",
        "bigiron",
        "forgotten",
    ):
        assert secret not in text, secret
    assert essence(judge(masked, HealthPolicy())) == essence(judge(snapshot, HealthPolicy()))
    assert masked.drbd is not None
    (link, _) = next(iter(masked.drbd.value.values())).connections
    (_, place) = next(iter(masked.placements.values())).value
    assert link.peer == place.node, "one node in two spellings is still one"


def test_what_was_equal_is_equal() -> None:
    masked = saved.mask(secretive())
    assert masked.drbd is not None
    (resource,) = masked.drbd.value.values()
    assert masked.nodes is not None
    assert resource.connections[0].peer in masked.nodes.value
    assert masked.node in masked.nodes.value
    assert f"{resource.name}/0" in masked.devices
    assert str(VOL) not in masked.devices


def test_a_node_that_is_called_like_a_word_of_ours() -> None:
    """It stays as it is rather than break what is known."""
    for name in ("up", "name", "satellite", "linstor"):
        odd = facts.edit(world(), node=NodeName(name))
        assert saved.mask(odd).node == name


def test_two_masked_names_stay_two() -> None:
    masked = saved.mask(world(nodes={"n1": facts.node(N1), "n2": facts.node(N2)}))
    assert masked.nodes is not None
    assert len(masked.nodes.value) == 2


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"form":"x"}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_snapshot(data: bytes) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        saved.decode(data)


def test_a_snapshot_of_another_form() -> None:
    data = saved.encode(world(), version="1", masked=False).replace(b"snapshot/1", b"snapshot/9")
    with pytest.raises(ValueError, match="snapshot/9"):
        saved.decode(data)
