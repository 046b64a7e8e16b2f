# SPDX-License-Identifier: Apache-2.0
"""Which calls the rules look at: Incus's own, for this node, and nothing that only resembles them."""

import pytest
from tests.guard_calls import call

from tidegate.core.ids import NodeName
from tidegate.guard.classify import classify, identity
from tidegate.guard.interface import CallClass

N1 = NodeName("n1")
RD = "/v1/resource-definitions/incus-volume-c1"


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/v1/nodes/n1", CallClass.NODE),
        ("GET", "/v1/nodes/N1", CallClass.NODE),
        ("GET", "/v1/nodes/n%31", CallClass.NODE),
        ("GET", "/v1/nodes/n1?", CallClass.NODE),
        ("GET", "/v1/controller/version", CallClass.VERSION),
        ("POST", f"{RD}/resources/n1/make-available", CallClass.MAKE_AVAILABLE),
        ("GET", f"{RD}/resources/n1/volumes", CallClass.VOLUMES),
    ],
)
def test_incuss_calls_are_known(method: str, target: str, kind: CallClass) -> None:
    named = classify(call(method, target), N1, local_truth=False)
    assert named is not None
    assert named.kind is kind


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/nodes"),
        ("GET", "/v1/nodes/n2"),
        ("GET", "/v1/nodes/n1/"),
        ("GET", "/v1/nodes/n1/storage-pools"),
        ("GET", "//v1/nodes/n1"),
        ("GET", "/v2/nodes/n1"),
        ("PUT", "/v1/nodes/n1"),
        ("PUT", "/v1/nodes/n1/reconnect"),
        ("HEAD", "/v1/nodes/n1"),
        ("GET", f"{RD}/resources/n1/make-available"),
        ("PUT", f"{RD}/resources/n1/make-available"),
        ("POST", f"{RD}/resources/n2/make-available"),
        ("POST", "/v1/resource-definitions//resources/n1/make-available"),
        ("GET", f"{RD}/resources/n2/volumes"),
        ("GET", f"{RD}/resources/n1/volumes/0"),
        ("GET", f"{RD}/resources/n1"),
        ("GET", "/v1/resource-definitions"),
        ("DELETE", f"{RD}/resources/n1"),
        ("GET", "/v1/view/resources?nodes=n1"),
    ],
)
def test_all_else_is_only_forwarded(method: str, target: str) -> None:
    assert classify(call(method, target), N1, local_truth=False) is None


def test_the_map_of_volumes_is_looked_at_for_local_truth_only() -> None:
    found = "/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dincus-volume-c1&props=Aux%2FIncus%2Ftype%3Dcontainers"
    assert classify(call("GET", found), N1, local_truth=False) is None
    named = classify(call("GET", found), N1, local_truth=True)
    assert named is not None
    assert named.kind is CallClass.DEFINITIONS
    assert identity(found.partition("?")[2]) == ("incus-volume-c1", "containers")
    for target in ("/v1/resource-definitions?", "/v1/resource-definitions"):
        assert classify(call("GET", target), N1, local_truth=False) is None
        whole = classify(call("GET", target), N1, local_truth=True)
        assert whole is not None
        assert whole.kind is CallClass.DEFINITIONS
    other = "/v1/resource-definitions?resource_definitions=a"
    assert classify(call("GET", other), N1, local_truth=True) is None
    assert classify(call("GET", found + "&limit=1"), N1, local_truth=True) is None
