"""Recorded states of real DRBD, and the model put into the same state."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from tests import recordings

from tidegate.sim import drbd

ROOT = recordings.DATA / "drbd"
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
_COUNTER = re.compile(
    r" (?:read|written|al-writes|bm-writes|upper-pending|lower-pending|received|sent|out-of-sync|pending|unacked"
    r"|ap-in-flight|rs-in-flight|size):\S+"
)
_PROGRESS = re.compile(r" (?:done|rs-[a-z0-9-]+|dbdt\d?|eta|want|al-suspended|blocked):\S+")
_JSON_COUNTER = re.compile(
    r'("(?:read|written|al-writes|bm-writes|upper-pending|lower-pending|received|sent|out-of-sync|pending|unacked'
    r"|ap-in-flight|rs-in-flight|size|percent-in-sync|rs-[a-z0-9-]+|want|percent-resync-done"
    r'|estimated-seconds-to-finish|db\d?/dt\d? \[MiB/s\])": )[\d.]+'
)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded state of one node: the texts, and the model in that state."""

    name: str
    utils: tuple[int, int]
    status: str
    events2: tuple[str, ...]
    resources: tuple[drbd.Resource, ...]


def masked_line(line: str) -> str:
    """A line of events2 without its time and counters, and without details of a resync."""
    return _PROGRESS.sub("", _COUNTER.sub("", _STAMP.sub("", line)))


def masked_json(text: str) -> str:
    """``status --json`` without counters."""
    return _JSON_COUNTER.sub(r"\g<1>N", text)


def _fields(line: str) -> tuple[str, dict[str, str]]:
    words = _STAMP.sub("", line).split()
    return words[1], dict(word.split(":", 1) for word in words[2:] if ":" in word)


def _connection(fields: dict[str, str]) -> drbd.Connection:
    return drbd.Connection(
        peer=fields["conn-name"],
        peer_id=int(fields["peer-node-id"]),
        local="",
        remote="",
        link=drbd.Link(fields["connection"]),
        role=drbd.Role(fields["role"]),
    )


def from_lines(lines: list[str], node_ids: dict[str, int]) -> tuple[drbd.Resource, ...]:
    """The model in the state that a full dump of events2 shows. Raises ValueError for states that the model does not know."""
    found: dict[str, drbd.Resource] = {}
    for line in lines:
        kind, f = _fields(line)
        if kind == "resource":
            reasons = () if f["suspended"] == "no" else tuple(f["suspended"].split(","))
            found[f["name"]] = drbd.Resource(
                name=f["name"],
                node_id=node_ids.get(f["name"], 0),
                role=drbd.Role(f["role"]),
                suspended=reasons,
                attached=f["write-ordering"] != "none",
            )
        elif kind == "connection":
            found[f["name"]].connections[f["conn-name"]] = _connection(f)
        elif kind == "device":
            found[f["name"]].volumes[int(f["volume"])] = drbd.Volume(
                number=int(f["volume"]),
                minor=int(f["minor"]),
                size_kib=int(f["size"]),
                disk=drbd.Disk(f["disk"]),
                backing="" if f["backing_dev"] == "none" else f["backing_dev"],
                client=f["client"] == "yes",
                open=f.get("open") == "yes",
                quorum=f["quorum"] == "yes",
            )
        elif kind == "peer-device":
            link = found[f["name"]].connections[f["conn-name"]]
            link.volumes[int(f["volume"])] = drbd.PeerVolume(
                disk=drbd.Disk(f["peer-disk"]),
                replication=drbd.Replication(f["replication"]),
                client=f["peer-client"] == "yes",
                resync_suspended=f["resync-suspended"],
            )
        elif kind == "path":
            link = found[f["name"]].connections[f["conn-name"]]
            link.local = f["local"].removeprefix("ipv4:")
            link.remote = f["peer"].removeprefix("ipv4:")
    return tuple(found.values())


def states() -> Iterator[State]:
    """Every recorded state that the model can be in."""
    for path in sorted(ROOT.rglob("status.json")):
        dump = path.parent / "events2-full-timestamps-now.txt"
        lines = [line for line in dump.read_text().splitlines() if " exists " in line]
        lines = [line for line in lines if not line.endswith("exists -")]
        text = path.read_text()
        try:
            shown: list[Any] = json.loads(text)
            ids = {r["name"]: r["node-id"] for r in shown}
            resources = from_lines(lines, ids)
        except ValueError:
            continue
        if any(r["suspended"] != bool(m.suspended) for r, m in zip(shown, resources, strict=True)):
            continue  # the two texts were taken while the state changed
        name = str(path.parent.relative_to(ROOT))
        version = (9, 34) if "utils-9.34" in name else (9, 22)
        yield State(
            name=name, utils=version, status=text, events2=tuple(lines), resources=resources
        )


def odd_states() -> Iterator[tuple[str, list[str]]]:
    """The events2 dumps of the real stack's odd states, by state and node."""
    folder = recordings.DATA / "fullstack" / "odd-states"
    for path in sorted(folder.glob("*/n?.txt")):
        text = path.read_text()
        if "@@ events2" in text:
            part = text.split("@@ events2", 1)[1].split("@@", 1)[0]
            lines = [line for line in part.splitlines() if " exists " in line]
            kept = [line for line in lines if not line.endswith("exists -")]
            yield f"{path.parent.name}/{path.stem}", kept
