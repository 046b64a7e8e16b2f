# SPDX-License-Identifier: Apache-2.0
"""What can be answered with the controller gone, and what never is."""

from typing import Any

import msgspec
import pytest
from tests.guard_calls import call

from tidegate.core.ids import NodeName, ResourceName
from tidegate.guard import local_truth
from tidegate.guard.asking import Definition, Local
from tidegate.guard.classify import classify
from tidegate.guard.interface import Answer

RD = "/v1/resource-definitions/rd-c1"
LOOK_UP = "/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dincus-volume-c1&props=Aux%2FIncus%2Ftype%3Dcontainers"
LOCAL = Local(
    node="n1",
    version="1.33.2",
    rest_api_version="1.27.0",
    ready=True,
    definitions=(
        Definition(
            name=ResourceName("rd-c1"),
            resource_group="remote",
            aux_name="incus-volume-c1",
            aux_type="containers",
            aux_content="filesystem",
        ),
    ),
    devices={"0": "/dev/drbd1001"},
)


def answered(method: str, target: str, local: Local | None = LOCAL) -> Answer | None:
    asked = call(method, target)
    named = classify(asked, NodeName("n1"), local_truth=True)
    assert named is not None
    return local_truth.answer(asked, named, local)


def body(method: str, target: str) -> Any:
    got = answered(method, target)
    assert got is not None
    assert got.why == "local-truth"
    assert got.status == 200
    return msgspec.json.decode(got.body)


def test_all_that_incus_needs_to_start_an_instance_is_answered() -> None:
    assert body("GET", "/v1/controller/version")["version"] == "1.33.2"
    assert body("GET", "/v1/nodes/n1")["connection_status"] == "ONLINE"
    (found,) = body("GET", LOOK_UP)
    assert found["name"] == "rd-c1"
    assert found["resource_group_name"] == "remote"
    assert found["props"]["Aux/Incus/content-type"] == "filesystem"
    assert body("POST", f"{RD}/resources/n1/make-available")[0]["ret_code"] == 20185088
    assert body("GET", f"{RD}/resources/n1/volumes") == [
        {"volume_number": 0, "device_path": "/dev/drbd1001"}
    ]


def test_all_definitions_are_listed_as_kept() -> None:
    """What recover/validate asks for once the pool is mounted (facts/incus.md L60)."""
    (found,) = body("GET", "/v1/resource-definitions?")
    assert (found["name"], found["resource_group_name"]) == ("rd-c1", "remote")
    assert found["props"]["Aux/Incus/type"] == "containers"
    nothing = msgspec.structs.replace(LOCAL, definitions=())
    assert answered("GET", "/v1/resource-definitions?", nothing) is None


@pytest.mark.parametrize(
    ("method", "target", "changes"),
    [
        ("GET", "/v1/controller/version", {"version": ""}),
        ("GET", "/v1/nodes/n1", {"ready": False}),
        ("GET", LOOK_UP, {"definitions": ()}),
        ("POST", f"{RD}/resources/n1/make-available", {"devices": {}}),
        ("GET", f"{RD}/resources/n1/volumes", {"devices": {}}),
        ("GET", f"{RD}/resources/n1/volumes", {"devices": {"1": "/dev/drbd1002"}}),
    ],
)
def test_what_is_not_known_is_not_answered(
    method: str, target: str, changes: dict[str, Any]
) -> None:
    assert answered(method, target, msgspec.structs.replace(LOCAL, **changes)) is None
    assert answered(method, target, None) is None
