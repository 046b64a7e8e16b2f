# SPDX-License-Identifier: Apache-2.0
"""DRBD's state as ``drbdsetup`` prints it: ``events2 --full`` lines, their changes, and ``status --json``.

Formats as recorded from drbd-utils 9.22.0 and 9.34.0, down to the blank after a connection state (tests/data/drbd). The newer one
has ``open:`` in events2 and ``open``, ``tls``, ``paths`` in JSON.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from tidegate.sim import drbd

OLD = (9, 22)
NEW = (9, 34)

Key = tuple[str, ...]
Fields = tuple[tuple[str, str], ...]
Lines = dict[Key, Fields]

_DESTROYED = {"resource": 1, "connection": 3, "device": 2, "peer-device": 4, "path": 5}
"""How many fields a ``destroy`` line carries (recorded)."""


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _resource(resource: drbd.Resource) -> Fields:
    promotion = drbd.promotion(resource)
    return (
        ("name", resource.name),
        ("role", resource.role),
        ("suspended", ",".join(resource.suspended) or "no"),
        ("force-io-failures", "no"),
        ("write-ordering", "flush" if resource.attached else "none"),
        ("may_promote", _yes(promotion.may)),
        ("promotion_score", str(promotion.score)),
    )


def _device(resource: drbd.Resource, volume: drbd.Volume, utils: tuple[int, int]) -> Fields:
    opened = (("open", _yes(volume.open)),) if utils >= NEW else ()
    counters = ("read", "written", "al-writes", "bm-writes", "upper-pending", "lower-pending")
    return (
        ("name", resource.name),
        ("volume", str(volume.number)),
        ("minor", str(volume.minor)),
        ("backing_dev", volume.backing or "none"),
        ("disk", volume.disk),
        ("client", _yes(volume.client)),
        *opened,
        ("quorum", _yes(volume.quorum)),
        ("size", str(volume.size_kib if drbd.up_to_date_replicas(resource, volume.number) else 0)),
        *((counter, "0") for counter in counters),
        ("al-suspended", "no"),
        ("blocked", "upper" if resource.suspended else "no"),
    )


def _head(resource: drbd.Resource, connection: drbd.Connection) -> Fields:
    return (
        ("name", resource.name),
        ("peer-node-id", str(connection.peer_id)),
        ("conn-name", connection.peer),
    )


def _connection(resource: drbd.Resource, connection: drbd.Connection) -> Fields:
    return (
        *_head(resource, connection),
        ("connection", connection.link),
        ("role", connection.role),
        ("congested", "no"),
        ("ap-in-flight", "0"),
        ("rs-in-flight", "0"),
    )


def _peer_device(resource: drbd.Resource, connection: drbd.Connection, number: int) -> Fields:
    volume = connection.volumes[number]
    syncing = "Sync" in volume.replication
    done = (("done", "0.00"),) if syncing else ()
    return (
        *_head(resource, connection),
        ("volume", str(number)),
        ("replication", volume.replication),
        ("peer-disk", volume.disk),
        ("peer-client", _yes(volume.client)),
        ("resync-suspended", volume.resync_suspended),
        *done,
        ("received", "0"),
        ("sent", "0"),
        ("out-of-sync", str(volume.out_of_sync_kib)),
        ("pending", "0"),
        ("unacked", "0"),
    )


def _path(resource: drbd.Resource, connection: drbd.Connection) -> Fields:
    return (
        *_head(resource, connection),
        ("local", f"ipv4:{connection.local}"),
        ("peer", f"ipv4:{connection.remote}"),
        ("established", _yes(connection.connected)),
    )


def state_lines(resource: drbd.Resource, utils: tuple[int, int] = NEW) -> Lines:
    """Everything about one resource in the order of a full dump: key of the object -> its fields."""
    name = resource.name
    peers = sorted(resource.connections.values(), key=lambda c: -c.peer_id)
    lines: Lines = {("resource", name): _resource(resource)}
    for peer in peers:
        lines["connection", name, peer.peer] = _connection(resource, peer)
    for volume in resource.volumes.values():
        lines["device", name, str(volume.number)] = _device(resource, volume, utils)
    for peer in peers:
        for number in peer.volumes:
            lines["peer-device", name, peer.peer, str(number)] = _peer_device(
                resource, peer, number
            )
        lines["path", name, peer.peer] = _path(resource, peer)
    return lines


def _line(action: str, key: Key, fields: Fields) -> str:
    return f"{action} {key[0]} " + " ".join(f"{name}:{value}" for name, value in fields)


def events2_now(resources: Iterable[drbd.Resource], utils: tuple[int, int] = NEW) -> list[str]:
    """``drbdsetup events2 --now --full``, without timestamps; the last line is ``exists -``."""
    lines = [
        _line("exists", key, fields)
        for resource in resources
        for key, fields in state_lines(resource, utils).items()
    ]
    return [*lines, "exists -"]


def changes(before: Lines, after: Lines) -> Iterator[str]:
    """The lines of a running ``events2 --full`` between two states of the same resource (create, change, destroy)."""
    for key in reversed(list(before)):
        if key not in after:
            yield _line("destroy", key, before[key][: _DESTROYED[key[0]]])
    for key, fields in after.items():
        if key not in before:
            yield _line("create", key, fields)
        elif before[key] != fields:
            yield _line("change", key, fields)


def _json(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _block(pairs: Iterable[tuple[str, str]], indent: str) -> str:
    return ",\n".join(f'{indent}"{name}": {value}' for name, value in pairs)


def _list(items: list[str], indent: str) -> str:
    """An array as drbdsetup writes it: objects one after another, the closing bracket behind the last brace."""
    if not items:
        return "[ ]"
    inner = ",\n".join(f"{indent}  {{\n{item}\n{indent}  }}" for item in items)
    return f"[\n{inner} ]"


def _json_device(resource: drbd.Resource, volume: drbd.Volume, utils: tuple[int, int]) -> str:
    size = volume.size_kib if drbd.up_to_date_replicas(resource, volume.number) else 0
    counters = ("read", "written", "al-writes", "bm-writes", "upper-pending", "lower-pending")
    pairs: list[tuple[str, object]] = [
        ("volume", volume.number),
        ("minor", volume.minor),
        ("disk-state", str(volume.disk)),
        ("client", volume.client),
        *([("open", volume.open)] if utils >= NEW else []),
        ("quorum", volume.quorum),
        ("size", size),
        *((counter, 0) for counter in counters),
    ]
    return _block(((name, _json(value)) for name, value in pairs), "      ")


_RESYNC = (
    ("rs-total", "0"),
    ("rs-dt-start-ms", "0"),
    ("rs-paused-ms", "0"),
    ("rs-dt0-ms", "0"),
    ("rs-db0-sectors", "0"),
    ("rs-dt1-ms", "0"),
    ("rs-db1-sectors", "0"),
    ("rs-failed", "0"),
    ("rs-same-csum", "0"),
    ("want", "0.00"),
    ("db0/dt0 [MiB/s]", "0.00"),
    ("db1/dt1 [MiB/s]", "0.00"),
    ("estimated-seconds-to-finish", "987654321"),
    ("db/dt [MiB/s]", "0.00"),
    ("percent-resync-done", "0.00"),
)
"""What a running resync adds; the model does not know its progress (987654321: unknown, facts/linstor.md 7.1)."""


def _json_peer_device(number: int, volume: drbd.PeerVolume, size_kib: int) -> str:
    in_sync = 100.0 if not size_kib else 100.0 * (1 - volume.out_of_sync_kib / size_kib)
    pairs: list[tuple[str, object]] = [
        ("volume", number),
        ("replication-state", str(volume.replication)),
        ("peer-disk-state", str(volume.disk)),
        ("peer-client", volume.client),
        ("resync-suspended", volume.resync_suspended),
        ("received", 0),
        ("sent", 0),
        ("out-of-sync", volume.out_of_sync_kib),
        ("pending", 0),
        ("unacked", 0),
        ("has-sync-details", "Sync" in volume.replication),
        ("has-online-verify-details", False),
    ]
    texts = [(name, _json(value)) for name, value in pairs]
    details = [(name, value) for name, value in _RESYNC if "Sync" in volume.replication]
    return _block([*texts, ("percent-in-sync", f"{in_sync:.2f}"), *details], "          ")


def _json_path(connection: drbd.Connection) -> str:
    def host(name: str, address: str) -> tuple[str, str]:
        ip, port = address.rsplit(":", 1)
        inner = _block((("address", _json(ip)), ("port", port), ("family", '"ipv4"')), " " * 12)
        return name, f"{{\n{inner}\n          }}"

    pairs = (host("this_host", connection.local), host("remote_host", connection.remote))
    return _block((*pairs, ("established", _json(connection.connected))), "          ")


def _json_connection(
    resource: drbd.Resource, connection: drbd.Connection, utils: tuple[int, int]
) -> str:
    newer = utils >= NEW
    volumes = [
        _json_peer_device(number, volume, resource.volumes[number].size_kib)
        for number, volume in connection.volumes.items()
    ]
    pairs = [
        ("peer-node-id", str(connection.peer_id)),
        ("name", _json(connection.peer)),
        ("connection-state", _json(str(connection.link))),
        ("congested", "false"),
        ("peer-role", _json(str(connection.role))),
        *([("tls", "false")] if newer else []),
        ("ap-in-flight", "0"),
        ("rs-in-flight", "0"),
        *([("paths", _list([_json_path(connection)], "      "))] if newer else []),
        ("peer_devices", _list(volumes, "      ")),
    ]
    text = _block(pairs, "      ")
    # drbdsetup writes a blank behind the connection state's comma (recorded in both versions)
    state = f'"connection-state": {_json(str(connection.link))},'
    return text.replace(state, f"{state} ", 1)


def _json_resource(resource: drbd.Resource, utils: tuple[int, int]) -> str:
    devices = [_json_device(resource, v, utils) for v in resource.volumes.values()]
    peers = sorted(resource.connections.values(), key=lambda c: c.peer_id)
    connections = [_json_connection(resource, c, utils) for c in peers]
    reasons = ("user", "no-data", "fencing", "quorum")
    pairs = [
        ("name", _json(resource.name)),
        ("node-id", str(resource.node_id)),
        ("role", _json(str(resource.role))),
        ("suspended", _json(bool(resource.suspended))),
        *((f"suspended-{r}", _json(r in resource.suspended)) for r in reasons),
        ("force-io-failures", "false"),
        ("write-ordering", '"flush"' if resource.attached else '"none"'),
        ("devices", _list(devices, "  ")),
        ("connections", _list(connections, "  ")),
    ]
    return "{\n" + _block(pairs, "  ") + "\n}"


def status_json(resources: Iterable[drbd.Resource], utils: tuple[int, int] = NEW) -> str:
    """``drbdsetup status --json``: the text on standard output, exit code 0. Nothing configured: an empty list."""
    texts = [_json_resource(r, utils) for r in resources]
    return "\n".join(["[", *([",\n".join(texts)] if texts else []), "]", "", ""])


def show_json(resources: Iterable[drbd.Resource], options: Mapping[str, Mapping[str, str]]) -> str:
    """``drbdsetup show --json`` as far as anyone here reads it: names and options."""
    shown = [{"resource": r.name, "options": dict(options.get(r.name, {}))} for r in resources]
    return json.dumps(shown, indent=4) + "\n"
