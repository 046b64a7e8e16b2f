# SPDX-License-Identifier: Apache-2.0
"""A large cluster's view of resources, made from a recorded one, through parser, translation and judge."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from tests import health_facts as facts
from tests.recordings import DATA

from tidegate.clients.linstor import wire
from tidegate.config.policy import HealthPolicy
from tidegate.core import snapshot as snapshots
from tidegate.core.facts import DefinitionFacts, NeededVolume, PlacementFacts, StoragePoolFacts
from tidegate.core.finding import Report
from tidegate.core.ids import (
    InstanceId,
    InstanceName,
    NodeName,
    ProjectName,
    ResourceName,
    StoragePoolName,
)
from tidegate.core.snapshot import Observation, Source
from tidegate.health import judge
from tidegate.probes import translate_linstor

Seen = Mapping[str, tuple[PlacementFacts, ...]]

_RECORDED = DATA / "fullstack" / "odd-states" / "01-both-uptodate-secondary" / "view-resources.json"
_NODES = tuple(f"n{number}" for number in range(1, 11))
_FIRST_MINOR = 1000
_NOW = 1000.0


def view(count: int) -> bytes:
    """What ``GET /v1/view/resources`` answers for ``count`` resources, two of each definition, on ten nodes."""
    recorded = json.dumps(json.loads(_RECORDED.read_bytes())[0])
    answer: list[Any] = []
    for number in range(count // 2):
        # Every definition has one of its two replicas on n1 until 500 are there, then elsewhere.
        pair = ("n1", _NODES[1 + number % 9]) if number < 500 else _pair(number)
        for here, there in (pair, pair[::-1]):
            text = recorded.replace('"n2"', f'"{there}"').replace('"n1"', f'"{here}"')
            text = text.replace("odd", name(number)).replace("1001", str(_FIRST_MINOR + number))
            answer.append(json.loads(text))
    return json.dumps(answer).encode()


def _pair(number: int) -> tuple[str, str]:
    return _NODES[1 + number % 9], _NODES[1 + (number + 1) % 9]


def name(number: int) -> str:
    """The name of a definition, as long as Incus makes them."""
    return f"incus-volume-{number:032x}"


def decode(answer: bytes) -> Seen:
    """From bytes to facts."""
    resources = msgspec.json.decode(answer, type=list[wire.Resource])
    by_name = sorted(resources, key=lambda resource: resource.name)
    return {
        key: translate_linstor.placements(group)
        for key, group in itertools.groupby(by_name, key=lambda resource: resource.name)
    }


def judged(seen: Seen, *, wanted: int) -> Report:
    """From facts to findings: take them in, and judge a node on which ``wanted`` containers run."""
    snapshot = snapshots.apply(
        rest(wanted), Observation(source=Source.LINSTOR, at=_NOW, placements=seen)
    )
    report = judge.judge(snapshot, HealthPolicy())
    ready = sum(
        1 for key, state in report.subjects.items() if key.startswith("volume/") and state.ready
    )
    assert ready == wanted, f"{ready} volumes are ready, not {wanted}"
    return report


_KEPT: dict[int, snapshots.Snapshot] = {}


def rest(wanted: int) -> snapshots.Snapshot:
    """Everything but the placements, made once."""
    if wanted not in _KEPT:
        numbers = range(wanted)
        names = {number: ResourceName(name(number)) for number in numbers}
        _KEPT[wanted] = facts.world(
            at=_NOW,
            nodes={node: facts.node(NodeName(node)) for node in _NODES},
            storage_pools={
                "lvmthin": StoragePoolFacts(
                    name=StoragePoolName("lvmthin"),
                    node=NodeName("n1"),
                    provider="LVM_THIN",
                    free_kib=900,
                    total_kib=1000,
                )
            },
            definitions={
                names[number]: DefinitionFacts(
                    name=names[number],
                    resource_group=facts.GROUP,
                    aux_name=f"incus-volume-c{number}",
                    aux_type="containers",
                    aux_content="filesystem",
                )
                for number in numbers
            },
            drbd={names[number]: _kernel(names[number], number) for number in numbers},
            devices={
                f"{names[number]}/0": facts.device(
                    path=f"/dev/drbd{_FIRST_MINOR + number}", rdev=(147, _FIRST_MINOR + number)
                )
                for number in numbers
            },
            instances={f"default/c{number}": _instance(number) for number in numbers},
            placements={},
        )
    return _KEPT[wanted]


def _kernel(resource: ResourceName, number: int) -> Any:
    peer = NodeName(_NODES[1 + number % 9])
    return facts.drbd_resource(
        resource,
        devices=(facts.drbd_device(minor=_FIRST_MINOR + number),),
        connections=(facts.connection(peer),),
    )


def _instance(number: int) -> Any:
    need = NeededVolume(pool=facts.POOL, type="containers", name=f"c{number}")
    return facts.instance(
        id=InstanceId(ProjectName("default"), InstanceName(f"c{number}")), needs=(need,)
    )
