"""Recorded answers of a real LINSTOR, and their comparison, field by field, with the model's."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from tests import recordings

ROOT = recordings.DATA / "linstor"

VOLATILE = frozenset(
    {"uuid", "UUID", "created_at", "create_timestamp", "error_report_ids", "DrbdCurrentGi"}
    | {"free_capacity", "total_capacity", "allocated_size_kib", "usable_size_kib", "secret"}
    | {"max_volume_size_kib", "Cluster/LocalID"}
    | {"last_used_at", "updated_at", "server_pid"}  # of Incus
)
"""Fields whose values differ from run to run; that they are there, and their type, is compared."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOOP = re.compile(r"/dev/loop\d+")


class OnPurpose(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that we want. Patterns match the whole request (``METHOD path``) and the whole difference."""

    request: str
    differs: str = ".*"
    why: str


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded request with its answer."""

    method: str
    path: str
    status: int
    t: str = ""
    body: Any = None
    req_body: Any = None
    note: str = ""

    @property
    def request_bytes(self) -> bytes:
        """The request's body as it went over the wire."""
        if isinstance(self.req_body, str):
            return self.req_body.encode()
        return json.dumps(self.req_body).encode() if self.req_body is not None else b""


def exchanges(case: str) -> Iterator[Exchange]:
    """The requests of one case that were answered with a whole body."""
    bodies: dict[str, Any] = {}
    with gzip.open(ROOT / f"{case}.jsonl.gz", "rt") as lines:
        for line in lines:
            raw = json.loads(line)
            if "body" in raw:
                bodies[raw["path"]] = raw["body"]
            elif raw.get("same_body"):
                raw["body"] = bodies.get(raw["path"])
            else:
                continue
            if raw.get("status") is None:
                continue
            names = Exchange.__struct_fields__
            yield Exchange(**{k: v for k, v in raw.items() if k in names and v is not None})


def timeline(case: str) -> Iterator[dict[str, Any]]:
    """What was seen from outside while a case ran."""
    with gzip.open(ROOT / f"{case}.timeline.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)


def _masked(text: str) -> str:
    return _LOOP.sub("/dev/loopN", _UUID.sub("<uuid>", text))


def differences(real: Any, model: Any, at: str = "") -> Iterator[str]:
    """Where the model's answer is not the recorded one: ``path: what``."""
    if isinstance(real, dict) and isinstance(model, dict):
        for key in sorted(real.keys() | model.keys()):
            where = f"{at}.{key}"
            if key not in model:
                yield f"{where}: missing"
            elif key not in real:
                yield f"{where}: not in the recording"
            elif key in VOLATILE:
                if type(real[key]) is not type(model[key]):
                    yield f"{where}: {type(model[key]).__name__}, recorded {type(real[key]).__name__}"
            else:
                yield from differences(real[key], model[key], where)
    elif isinstance(real, list) and isinstance(model, list):
        if len(real) != len(model):
            yield f"{at}: {len(model)} items, recorded {len(real)}"
        for number, (one, other) in enumerate(zip(real, model, strict=False)):
            yield from differences(one, other, f"{at}[{number}]")
    elif isinstance(real, str) and isinstance(model, str):
        if _masked(real) != _masked(model):
            yield f"{at}: {model!r}, recorded {real!r}"
    elif type(real) is not type(model) or real != model:
        yield f"{at}: {model!r}, recorded {real!r}"


def view_resources(state: str) -> list[dict[str, Any]]:
    """``/v1/view/resources`` of the real stack in one of its odd states."""
    path = recordings.DATA / "fullstack" / "odd-states" / state / "view-resources.json"
    shown: list[dict[str, Any]] = json.loads(path.read_text())
    return shown
