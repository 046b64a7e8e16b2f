# SPDX-License-Identifier: Apache-2.0
"""Subjects as people type them."""

import pytest

from tidegate.core import ids
from tidegate.core.ids import (
    InstanceId,
    InstanceName,
    PoolName,
    ProjectName,
    ResourceName,
    StoragePoolName,
    Subject,
    SubjectKind,
    VolumeId,
)

VOLUME = VolumeId(ResourceName("incus-volume-4df9"), 1)
INSTANCE = InstanceId(ProjectName("web"), InstanceName("c1"))


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("host", ids.HOST),
        ("controller", ids.CONTROLLER),
        ("satellite", ids.SATELLITE),
        ("incus", ids.INCUS),
        ("storage-pool/thin", ids.storage_pool(StoragePoolName("thin"))),
        ("volume/incus-volume-4df9/1", ids.volume(VOLUME)),
        ("pool/remote", ids.pool(PoolName("remote"))),
        ("instance/web/c1", ids.instance(INSTANCE)),
    ],
)
def test_a_subject_reads_back_as_it_is_written(text: str, subject: Subject) -> None:
    assert Subject.parse(text) == subject
    assert str(subject) == text


def test_an_instance_without_a_project_is_in_the_default_one() -> None:
    assert str(Subject.parse("instance/c1")) == "instance/default/c1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "",
            "begins with one of host, controller, satellite, storage-pool, volume, incus, pool, instance",
        ),
        ("disk/a", "begins with one of"),
        ("Pool/a", "begins with one of"),
        ("controller/x", "write controller"),
        ("pool", "write pool/…"),
        ("pool/", "write pool/…"),
        ("volume/rd", "write RESOURCE/NUMBER"),
        ("volume/rd/x", "write RESOURCE/NUMBER"),
        ("volume//0", "write RESOURCE/NUMBER"),
    ],
)
def test_what_is_no_subject_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Subject.parse(text)
    assert repr(text.partition("/")[2] if says.startswith("write RES") else text) in str(
        caught.value
    )
    assert says in str(caught.value)


def test_the_chain_goes_from_the_ground_up() -> None:
    depths = [kind.depth for kind in SubjectKind]
    assert depths == sorted(depths)
    assert SubjectKind.HOST.depth < SubjectKind.VOLUME.depth < SubjectKind.INSTANCE.depth


def test_volumes_sort_by_resource_then_number() -> None:
    names = [("b", 0), ("a", 10), ("a", 2)]
    assert [str(v) for v in sorted(VolumeId(ResourceName(r), n) for r, n in names)] == [
        "a/2",
        "a/10",
        "b/0",
    ]
