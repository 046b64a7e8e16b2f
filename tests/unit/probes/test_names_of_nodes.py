# SPDX-License-Identifier: Apache-2.0
"""LINSTOR takes node names of any case for the same: a host called web-1.example.com may be its node Web-1.Example.COM."""

import msgspec
from tests import health_facts as facts
from tests.health_facts import RD, VOL, edit

from tidegate.clients.linstor import wire
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import NodeFacts
from tidegate.core.finding import Report
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Source
from tidegate.health import judge
from tidegate.probes import base, translate_linstor

OWN, PEER = NodeName("web-1.example.com"), NodeName("web-2.example.com")


def shown(name: str) -> str:
    return name.title().replace("Com", "COM")


def nodes(status: str = "ONLINE") -> dict[str, NodeFacts]:
    told = [
        wire.Node(name=shown(OWN), connection_status="ONLINE", resource_layers=("DRBD",)),
        wire.Node(name=shown(PEER), connection_status=status, resource_layers=("DRBD",)),
    ]
    return translate_linstor.nodes(told, OWN)


def resource(node: str) -> wire.Resource:
    return msgspec.convert(
        {
            "name": RD,
            "node_name": shown(node),
            "props": {"StorPoolName": facts.THIN},
            "state": {"in_use": False},
            "layer_object": {
                "type": "DRBD",
                "drbd": {
                    "drbd_volumes": [
                        {
                            "drbd_volume_definition": {"volume_number": 0, "minor_number": 1002},
                            "device_path": "/dev/drbd1002",
                        }
                    ],
                    "promotion_score": 10102,
                    "may_promote": True,
                },
                "children": [{"type": "STORAGE"}],
            },
        },
        wire.Resource,
    )


def report(*, peer: str = "Connected", status: str = "ONLINE") -> Report:
    placed = translate_linstor.placements([resource(OWN), resource(PEER)], OWN)
    link = facts.connection(PEER, peer)
    snapshot = facts.world(
        nodes=nodes(status),
        placements={RD: placed},
        drbd={RD: facts.drbd_resource(connections=(link,))},
        wanted=facts.kept_map(node=OWN),
        silent=(Source.INCUS,),
    )
    return judge.judge(edit(snapshot, node=OWN), HealthPolicy())


def test_this_node_and_its_volumes_are_found() -> None:
    told = report()
    assert told.ready(ids.SATELLITE)
    assert told.ready(ids.volume(VOL))
    assert {one.code for one in told.about(ids.volume(VOL))} == set()


def test_a_peer_is_one_and_not_two() -> None:
    told = report(peer="Connecting", status="OFFLINE")
    (finding,) = told.about(ids.volume(VOL))
    assert finding.code == "volume.peer-absent"
    assert "its node is OFFLINE" in finding.observed
    told = report(peer="Connecting")
    (finding,) = told.about(ids.volume(VOL))
    assert finding.code == "volume.peer-alive"


def test_its_storage_pools_too() -> None:
    pool = wire.StoragePool(
        storage_pool_name="thin",
        node_name=shown(OWN),
        provider_kind="LVM_THIN",
        free_capacity=1,
        total_capacity=2,
    )
    assert set(translate_linstor.storage_pools([pool], OWN)) == {"thin"}
    assert translate_linstor.storage_pools([pool], PEER) == {}


def test_how_a_peer_may_be_reached_is_known_under_either_name() -> None:
    told = [
        wire.Node(
            name=shown(PEER),
            net_interfaces=(wire.NetInterface(address="fd00::2", satellite_port=3366),),
        )
    ]
    snapshot = facts.world(
        nodes=translate_linstor.nodes(told, OWN),
        drbd={RD: facts.drbd_resource(connections=(facts.connection(PEER, "Connecting"),))},
    )
    peer = base.Need.of(snapshot, [VOL]).peers[PEER]
    assert (peer.addresses, peer.satellite_port) == (("fd00::2",), 3366)
