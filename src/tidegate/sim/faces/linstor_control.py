# SPDX-License-Identifier: Apache-2.0
"""The program around the LINSTOR face, for the boot lab: command line, state file, control socket.

The control socket takes one JSON object per line and answers each with one line, ``{"ok": true, …}`` or
``{"ok": false, "error": "what and where"}``:

- ``{"op": "boot", "faults": [FAULT, …]}``: power-cycle the local node and count time from here; these faults and no others.
- ``{"op": "halt"}``: cut the local node's power.
- ``{"op": "fault", "kind": …, "start": s, "end": s, "subject": …}``: one more fault (fields of :class:`tidegate.sim.faults.Fault`);
  without ``start`` it begins now, ``"for": s`` in place of ``end`` counts from ``start``.
- ``{"op": "clear"}``, with ``kind`` and ``subject`` if wanted: end faults.
- ``{"op": "dump"}``: time, nodes, faults, devices of the local node, data base, the last requests, and how many there ever were.
- ``{"op": "drbd", "what": "status" | "events2" | "show", "node": …}``: ``text`` as ``drbdsetup status --json``,
  ``events2 --now --full``, ``show --json`` would print it.
- ``{"op": "crashed", "resources": [NAME, …], "resync": s}``: they were in use when the local node went down, so that DRBD copies them
  for ``s`` seconds at its next start.
- ``{"op": "primary", "resource": …, "on": true}``: the volume is mounted on the local node (or no longer).
- ``{"op": "subscribe", "acks": true}``: from now on each event of the local node comes as a line; first a ``device-appears`` with
  ``"current": true`` for each device file there is. With ``acks``, an event with ``"ack": true`` holds the REST call that caused
  it until ``{"op": "ack", "id": N}`` came, on any connection. Events: ``volume-created``, ``volume-deleted``, ``volume-cloned``
  (``source``), ``volume-resized``, ``volume-rolled-back``, ``snapshot-created``, ``snapshot-deleted``, ``snapshot-restored``
  (``source``, ``snapshot``), ``device-appears``, ``device-vanishes`` (``path``), each with ``resource``, ``volume``, ``minor``,
  ``size_kib`` where it applies; besides ``node-status``, ``run-over``, ``may-promote``, ``state-gone``, ``node-modified``.
- ``{"op": "quit"}``.

When it serves it says ``listening http://HOST:PORT`` on standard output.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegate.clients import clock, files
from tidegate.sim import drbd, drbd_text, faults
from tidegate.sim.faces import linstor_http
from tidegate.sim.linstor import build, wiring, world

_QUEUE = 10_000
_LONGEST_LINE = 1 << 20
Json = dict[str, Any]


class Control:
    """The control socket of one face."""

    def __init__(self, face: linstor_http.LinstorFace) -> None:
        self._face = face
        self._world = face.world
        self.quit = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._alone = asyncio.Event()
        self._alone.set()

    async def close(self) -> None:
        """Close every connection; their readers see the end."""
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._alone.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.add(writer)
        self._alone.clear()
        try:
            await self._converse(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()
            if not self._writers:
                self._alone.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                request = self._parse(line)
                if request.get("op") == "subscribe":
                    await self._subscribe(reader, writer, acks=bool(request.get("acks")))
                    break
                await self._send(writer, self._reply(request))

    @staticmethod
    def _parse(line: bytes) -> Json:
        try:
            request = json.loads(line)
        except ValueError as error:
            return {"op": "", "why": f"no JSON: {error}"}
        return request if isinstance(request, dict) else {"op": "", "why": "not an object"}

    @staticmethod
    async def _send(writer: asyncio.StreamWriter, value: Json) -> None:
        writer.write(json.dumps(value).encode() + b"\n")
        await writer.drain()

    def _reply(self, request: Json) -> Json:
        self._face.tick()
        operation = getattr(self, f"_op_{request.get('op')}", None)
        if operation is None:
            known = sorted(n.removeprefix("_op_") for n in dir(self) if n.startswith("_op_"))
            text = request.get("why") or f"unknown op {request.get('op')!r}"
            return {"ok": False, "error": f"{text}; known: {', '.join(known)}, subscribe"}
        try:
            found: Json = operation(request)
        except (msgspec.ValidationError, KeyError, ValueError) as error:
            return {"ok": False, "error": f"{request.get('op')}: {error!r}"}
        self._face.tick()
        return {"ok": True, "now": round(self._world.now, 6), **found}

    # --- operations ------------------------------------------------------------------------------
    def _fault(self, fields: Json) -> faults.Fault:
        plain = {key: value for key, value in fields.items() if key not in ("op", "for")}
        plain.setdefault("start", self._world.now)
        if "for" in fields:
            plain["end"] = plain["start"] + fields["for"]
        return msgspec.convert(plain, faults.Fault)

    def _op_fault(self, request: Json) -> Json:
        self._world.add_fault(self._fault(request))
        self._world.look_again()
        return {}

    def _op_boot(self, request: Json) -> Json:
        found = [msgspec.convert(f, faults.Fault) for f in request.get("faults", [])]
        self._face.boot(found)
        return {}

    def _op_halt(self, _request: Json) -> Json:
        self._world.power_off()
        return {}

    def _op_clear(self, request: Json) -> Json:
        kind = faults.FaultKind(request["kind"]) if "kind" in request else None
        self._world.clear_faults(kind, request.get("subject", ""))
        return {}

    def _op_ack(self, request: Json) -> Json:
        return {"known": self._world.acknowledge(request["id"])}

    def _op_primary(self, request: Json) -> Json:
        role = drbd.Role.PRIMARY if request.get("on", True) else drbd.Role.SECONDARY
        self._world.replication.promote(self._world.local, request["resource"], role)
        return {}

    def _op_crashed(self, request: Json) -> Json:
        one = self._world
        one.timings = msgspec.structs.replace(one.timings, resync=float(request["resync"]))
        for name in request["resources"]:
            if (placement := one.store.placement(name, one.local)) is None:
                raise KeyError(name)
            placement.crashed = True
        return {}

    def _op_drbd(self, request: Json) -> Json:
        node = self._world.drbd[request.get("node", self._world.local)]
        ordered = [node.resources[name] for name in sorted(node.resources)]
        if request.get("what") == "events2":
            return {"text": "\n".join(drbd_text.events2_now(ordered)) + "\n"}
        if request.get("what") == "show":
            rules = {r.name: wiring.options(self._world, r.name) for r in ordered}
            return {"text": drbd_text.show_json(ordered, rules)}
        return {"text": drbd_text.status_json(ordered)}

    def _op_dump(self, _request: Json) -> Json:
        one = self._world
        return {
            "address": self._face.url,
            "local": one.local,
            "nodes": {n: msgspec.to_builtins(life) for n, life in one.lives.items()},
            "faults": msgspec.to_builtins(one.faults),
            "devices": [msgspec.to_builtins(f) for f in one.trees[one.local]],
            "data": build.describe(one),
            "requests": self._face.requests[-200:],
            "asked": self._face.asked,
        }

    def _op_quit(self, _request: Json) -> Json:
        self.quit.set()
        return {}

    # --- events ----------------------------------------------------------------------------------
    async def _subscribe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, acks: bool
    ) -> None:
        """Events out; acknowledgements and further operations may come in on the same connection."""
        queue: asyncio.Queue[Json] = asyncio.Queue(_QUEUE)

        def heard(event: world.Event) -> None:
            if event["node"] == self._world.local:
                queue.put_nowait(event)

        await self._send(writer, {"ok": True, "now": round(self._world.now, 6)})
        for file in self._world.trees[self._world.local]:
            plain = msgspec.to_builtins(file)
            await self._send(writer, {"event": "device-appears", "current": True, **plain})
        self._world.listeners.append(heard)
        self._world.acks_wanted = self._world.acks_wanted or acks
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump(queue, writer))
                while line := await reader.readline():
                    reply = self._reply(self._parse(line))
                    if not reply["ok"]:
                        queue.put_nowait(reply)
                pump.cancel()
        finally:
            self._world.listeners.remove(heard)
            if acks:
                self._world.acks_wanted = False
                self._world.forget_acks()
                self._face.tick()

    async def _pump(self, queue: "asyncio.Queue[Json]", writer: asyncio.StreamWriter) -> None:
        while True:
            await self._send(writer, await queue.get())


def default_layout(nodes: int) -> faults.Layout:
    """``nodes`` nodes with a thin pool each; Incus makes the rest."""
    names = [f"n{i + 1}" for i in range(nodes)]
    size = 100 * 1024 * 1024
    return faults.Layout(
        nodes=tuple(
            faults.NodeSpec(name=n, address=f"10.99.0.{11 + i}") for i, n in enumerate(names)
        ),
        pools=tuple(
            faults.PoolSpec(name="pool", node=n, total_kib=size, free_kib=size - i)
            for i, n in enumerate(names)
        ),
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line (default: this process's). Exits with 2 and a usage text if it is wrong."""
    parser = argparse.ArgumentParser(prog="tidegate.sim.faces.linstor_http", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--listen", default="127.0.0.1:3370", metavar="HOST:PORT")
    parser.add_argument("--control", type=Path, help="path of the control socket")
    parser.add_argument("--state", type=Path, help="file that keeps definitions between runs")
    parser.add_argument("--node", default="n1", help="the local node (default n1)")
    parser.add_argument("--nodes", type=int, default=2, help="number of nodes without --layout")
    parser.add_argument("--layout", type=Path, help="JSON of tidegate.sim.faults.Layout")
    parser.add_argument("--timings", choices=("instant", "typical"), default="instant")
    parser.add_argument("--scale", type=float, default=1.0, help="virtual seconds per real one")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def make_world(args: argparse.Namespace, epoch: float) -> world.LinstorWorld:
    """The world that the command line asks for, its zero at ``epoch`` (Unix time); an existing state file wins over the layout."""
    layout = default_layout(args.nodes)
    if args.layout:
        layout = msgspec.json.decode(args.layout.read_bytes(), type=faults.Layout)
    layout = msgspec.structs.replace(layout, local=args.node)
    timings = faults.TYPICAL if args.timings == "typical" else faults.INSTANT
    scenario = faults.Scenario(name="lab", layout=layout, timings=timings, seed=args.seed)
    made = world.LinstorWorld(scenario, epoch=epoch)
    if args.state and args.state.exists():
        build.load(made, args.state.read_bytes())
    made.boot()
    made.settle()
    return made


class Saver:
    """Writes the state file when the data base has changed."""

    def __init__(self, one: world.LinstorWorld, path: Path) -> None:
        self._world = one
        self._path = path
        self._saved = -1

    async def save(self) -> None:
        """Write, if there is something new. A clone that ends later is written by the next change."""
        if self._world.store.changed != self._saved:
            self._saved = self._world.store.changed
            await asyncio.to_thread(files.write, self._path, self._world.store.to_bytes())


async def run(args: argparse.Namespace, ready: Callable[[str], None]) -> None:
    """Serve until asked to quit, SIGTERM or SIGINT; ``ready`` gets the URL when it serves."""
    face = linstor_http.LinstorFace(make_world(args, clock.wall()), args.scale)
    control = Control(face)
    saver = Saver(face.world, args.state) if args.state else None
    if saver is not None:
        face.before_answer = saver.save
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, control.quit.set)
    host, _, port = args.listen.rpartition(":")
    server = None
    if args.control:
        args.control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(control.serve, args.control, limit=_LONGEST_LINE)
    await face.start(host, int(port))
    ready(face.url)
    try:
        await control.quit.wait()
    finally:
        if saver is not None:
            await saver.save()
        if server is not None:
            server.close()
            await control.close()
        await face.stop()


def main() -> None:
    """Run the program."""

    def say(url: str) -> None:
        sys.stdout.write(f"listening {url}\n")
        sys.stdout.flush()

    asyncio.run(run(arguments(), say))
