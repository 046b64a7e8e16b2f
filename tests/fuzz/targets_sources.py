# SPDX-License-Identifier: Apache-2.0
"""Every parser of what LINSTOR, DRBD, Incus, the kernel and the journal say, with the translation behind it."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.fuzz.engine import Target
from tests.recordings import DATA

from tidegate.clients import errors, http
from tidegate.clients.devices import backing, programs
from tidegate.clients.drbd import events2, state, status
from tidegate.clients.errors import ClientError
from tidegate.clients.incus import answers as incus_answers
from tidegate.clients.incus import events as incus_events
from tidegate.clients.incus import wire as incus_wire
from tidegate.clients.linstor import answers, sse, wire
from tidegate.clients.systemd import follow
from tidegate.config.policy import HealthPolicy
from tidegate.core.evidence import JournalFacts
from tidegate.core.ids import BootId, NodeName, Subject
from tidegate.core.snapshot import Observation, Snapshot, Source, apply
from tidegate.health import judge
from tidegate.probes import translate_drbd, translate_incus, translate_journal, translate_linstor
from tidegate.report import saved

N1: Final = NodeName("n1")
_MOST_SEEDS: Final = 12
_LARGEST: Final = 20_000


def linstor_seeds(part: str) -> tuple[bytes, ...]:
    """Bodies of recorded answers to paths that hold ``part``."""
    return tuple(itertools.islice(_bodies(part), _MOST_SEEDS)) or (b"[]",)


def _bodies(part: str) -> Iterator[bytes]:
    for name in ("a_healthy", "b1_satellite_boot_controller_up", "b10_two_nodes_n2_down"):
        with gzip.open(DATA / "linstor" / f"{name}.jsonl.gz", "rt") as lines:
            for raw in map(json.loads, lines):
                if raw["method"] == "GET" and part in raw["path"] and "body" in raw:
                    body = json.dumps(raw["body"]).encode()
                    if len(body) < _LARGEST:
                        yield body


def incus_seeds(path: str) -> tuple[bytes, ...]:
    """Recorded answers of Incus to paths that begin so."""
    found = []
    for line in (DATA / "incus-api" / "answers.jsonl").read_text().splitlines():
        raw = json.loads(line)
        if raw["path"].startswith(path):
            found.append(json.dumps(raw["body"]).encode())
    return tuple(body for body in found if len(body) < _LARGEST)[:_MOST_SEEDS] or (b"{}",)


def drbd_seeds(name: str) -> tuple[bytes, ...]:
    """Recorded outputs of drbdsetup."""
    paths = sorted((DATA / "drbd").rglob(name))
    return tuple(path.read_bytes() for path in paths)[:: max(1, len(paths) // _MOST_SEEDS)]


def judged(**sections: Any) -> None:
    """Judge a snapshot that holds ``sections``: what a parser let through must not surprise whoever comes after it."""
    snapshot = Snapshot(at=100.0, boot_id=BootId("b"), boot_wall=0.0, node=N1)
    for source in (Source.LINSTOR, Source.DRBD, Source.INCUS, Source.HOST, Source.JOURNAL):
        snapshot = apply(snapshot, Observation(source=source, at=100.0, **sections))
    judge.judge(snapshot, HealthPolicy())


def _linstor(shape: Any, then: Callable[[Any], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        for code in (200, 404, 500):
            answer = http.Answer(status=code, headers={}, body=data)
            try:
                found = answers.read(answer, shape, "http://x")
            except ClientError:
                continue
            then(found)
        return None

    return run


def _version(found: wire.Version) -> None:
    judged(controller=translate_linstor.controller(found, url="http://x", latency=0.1))


def _placements(found: tuple[wire.Resource, ...]) -> None:
    placed: dict[str, Any] = {}
    for one in translate_linstor.placements(found):
        placed.setdefault(one.resource, []).append(one)
    judged(placements={name: tuple(every) for name, every in placed.items()})


def _sse(data: bytes) -> None:
    for size in (61, len(data) or 1):
        parser = sse.Parser(limit=4096)
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])


def _events2(data: bytes) -> None:
    found = [events2.parse(line) for line in data.decode("utf-8", "replace").splitlines()]
    told = state.fold(state.State(), [one for one in found if isinstance(one, events2.Event)])
    drbd = translate_drbd.resources(told.resources.values(), now=50.0)
    judged(drbd=drbd)


def _status(data: bytes) -> None:
    judged(drbd=translate_drbd.resources(status.parse_status(data), now=50.0))


def _incus(kind: Any, then: Callable[[Any], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        found = incus_answers.envelope(data, status=200, what="GET /x")
        return then(incus_answers.listing(found, kind, "GET /x"))

    return run


def _journal(data: bytes) -> None:
    lines = [follow.parse(raw) for raw in data.decode("utf-8", "replace").splitlines()]
    facts = translate_journal.fold(
        JournalFacts(),
        [line for line in lines if line is not None],
        satellite="linstor-satellite.service",
        incus="incus.service",
    )
    judged(journal=facts)


def _journal_seeds() -> tuple[bytes, ...]:
    path = DATA / "linstor" / "b1_satellite_boot_controller_up.journal.log.gz"
    with gzip.open(path, "rt", errors="replace") as lines:
        texts = [line.rstrip("\n").split(" ", 2)[-1] for line in lines]
    texts = [text for text in texts if "DeviceManager" in text or "FullSync" in text]
    texts.append("drbd a: ASSERTION x FAILED in y")
    unit = "linstor-satellite.service"
    return tuple(
        json.dumps({"MESSAGE": text, "_SYSTEMD_UNIT": unit, "__MONOTONIC_TIMESTAMP": "17"}).encode()
        for text in texts[:40]
    )


def _subject(data: bytes) -> object:
    return Subject.parse(data.decode("utf-8", "replace"))


_EVENT: Final = (
    b'{"type":"lifecycle","timestamp":"2026-11-23T07:00:00Z","metadata":{"action":"instance-started",'
    b'"source":"/1.0/instances/c1"}}'
)
_OPERATION: Final = (
    b'{"type":"operation","timestamp":"2026-11-23T07:00:00.5+01:00","location":"n1","metadata":'
    b'{"id":"x","class":"task","status":"Success","status_code":200,"err":""}}'
)
_STREAM: Final = (
    b"id: 7\nevent: may-promote-change\ndata: {}\n\n: alive\r\nretry: 3000\ndata: a\ndata: b\n\n"
)
_MOUNTS: Final = (
    b"22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n41 22 8:3 / /a\\040b rw - xfs /d rw\n"
)
_MODULES: Final = b"kernel/fs/xfs.ko: kernel/a.ko\nupdates/dkms/drbd.ko: kernel/b.ko\n"
_DECODE: Final = errors.UNREADABLE

TARGETS: Final = (
    Target("linstor-version", _linstor(wire.Version, _version), linstor_seeds("/version")),
    Target(
        "linstor-nodes",
        _linstor(tuple[wire.Node, ...], lambda found: judged(nodes=translate_linstor.nodes(found))),
        linstor_seeds("/v1/nodes"),
    ),
    Target(
        "linstor-storage-pools",
        _linstor(
            tuple[wire.StoragePool, ...],
            lambda found: judged(storage_pools=translate_linstor.storage_pools(found, N1)),
        ),
        linstor_seeds("storage-pools"),
    ),
    Target(
        "linstor-definitions",
        _linstor(
            tuple[wire.ResourceDefinition, ...],
            lambda found: judged(definitions=translate_linstor.definitions(found)),
        ),
        linstor_seeds("/v1/resource-definitions"),
    ),
    Target(
        "linstor-placements",
        _linstor(tuple[wire.Resource, ...], _placements),
        linstor_seeds("/resources"),
    ),
    Target("linstor-events", _sse, (_STREAM,), (sse.TooLongError,)),
    Target("drbd-events2", _events2, drbd_seeds("events2-full-timestamps-now.txt")),
    Target("drbd-status", _status, drbd_seeds("status.json"), _DECODE),
    Target(
        "drbd-show",
        status.parse_quorum,
        (b'[{"resource":"r","options":{"quorum":"off"}}]',),
        _DECODE,
    ),
    Target(
        "incus-instances",
        _incus(
            incus_wire.Instance,
            lambda found: judged(
                instances=translate_incus.instances(found, own_volumes={}, member=None)
            ),
        ),
        incus_seeds("/1.0/instances"),
        (ClientError,),
    ),
    Target(
        "incus-warnings",
        _incus(incus_wire.Warning, lambda found: judged(warnings=translate_incus.warnings(found))),
        incus_seeds("/1.0/warnings"),
        (ClientError,),
    ),
    Target("incus-events", incus_events.parse, (_EVENT, _OPERATION), _DECODE),
    Target("journal", _journal, _journal_seeds()),
    Target("mounts", lambda data: backing.parse_mount(data.decode("utf-8", "replace")), (_MOUNTS,)),
    Target(
        "modules", lambda data: programs.parse_modules(data.decode("utf-8", "replace")), (_MODULES,)
    ),
    Target("subject", _subject, (b"volume/rd/0", b"instance/default/c1"), (ValueError,)),
    Target(
        "snapshot-file",
        saved.decode,
        (
            saved.encode(
                Snapshot(at=1.0, boot_id=BootId("b"), boot_wall=0.0, node=N1),
                version="1",
                masked=False,
            ),
        ),
        (ValueError,),
    ),
)
