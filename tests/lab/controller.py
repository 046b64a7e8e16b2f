# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR controller beside a machine: the simulator's face as a program, and the hand that makes real what it says.

The program (:mod:`tidegate.sim.faces.linstor_http`) tells over its control socket which volumes and device files come and go; a
thread here makes disks and device files of it and acknowledges, before the REST call that caused it is answered. It also keeps the
files that the machine's ``drbdsetup`` reads. Faults are given with the boot; their seconds are the machine's.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.lab import host, machine, rig, volumes

from tidegate.sim import faults as sim_faults

PORT = 3370
URL = f"http://{machine.CONTROLLER_ADDRESS}:{PORT}"
REFRESH = 0.2
"""Seconds after which the DRBD texts are looked at again when no event came."""
_ANSWER = 20.0
_TEXTS = ("events2", "status")
Json = dict[str, Any]


class _Line:
    """One connection to the control socket: JSON lines in both directions, each wait bounded."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER)
        self._socket.connect(str(path))
        self._rest = b""

    def send(self, order: Json) -> None:
        self._socket.sendall(json.dumps(order).encode() + b"\n")

    def receive(self, timeout: float) -> Json | None:
        """The next line; None when none comes in time. Raises LabError when the program is gone."""
        self._socket.settimeout(timeout)
        while b"\n" not in self._rest:
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            if not chunk:
                raise host.LabError("the controller has closed its control socket")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Json = json.loads(line)
        return answer

    def ask(self, order: Json) -> Json:
        """Send an order and return its answer. Raises LabError when it is refused."""
        self.send(order)
        answer = self.receive(_ANSWER)
        if answer is None or not answer.get("ok"):
            raise host.LabError(f"the controller's answer to {order.get('op')!r}: {answer}")
        return answer

    def close(self) -> None:
        self._socket.close()


class _Hand(threading.Thread):
    """Makes disks and device files of the program's events, and keeps the DRBD texts."""

    def __init__(self, control: Path, disks: volumes.Disks, drbd: Path) -> None:
        super().__init__(name="volumes", daemon=True)
        self._events = _Line(control)
        self._asks = _Line(control)
        self._disks = disks
        self._drbd = drbd
        self._texts: dict[str, str] = {}
        self._minors: dict[str, str] = {}
        self._mounted: set[str] = set()
        self._over = threading.Event()
        self.files: volumes.DeviceFiles | None = None
        self.mounts: Path | None = None
        self.trouble: Exception | None = None
        self.last_device = 0.0
        self._events.ask({"op": "subscribe", "acks": True})

    def run(self) -> None:
        try:
            while not self._over.is_set():
                event = self._events.receive(REFRESH)
                while event is not None:
                    self._make_real(event)
                    if event.get("ack"):
                        self._events.send({"op": "ack", "id": event["id"]})
                    event = self._events.receive(0.001)
                self._promote()
                self._refresh_texts()
        except (host.LabError, OSError) as error:
            if not self._over.is_set():
                self.trouble = error

    def _make_real(self, event: Json) -> None:
        kind = event.get("event")
        name, number = event.get("resource", ""), event.get("volume", 0)
        match kind:
            case "volume-created" | "volume-resized":
                self._disks.create(name, number, event["size_kib"])
            case "volume-cloned" | "snapshot-restored":
                held = event["source"] + (f"@{event['snapshot']}" if "snapshot" in event else "")
                self._disks.copy(held, name, number)
            case "snapshot-created":
                self._disks.copy(name, f"{name}@{event['snapshot']}", number)
            case "volume-rolled-back":
                self._disks.copy(f"{name}@{event['snapshot']}", name, number)
            case "snapshot-deleted":
                self._disks.delete(f"{name}@{event['snapshot']}", number)
            case "volume-deleted":
                self._disks.delete(name, number)
            case "device-appears":
                device = self._disks.device(name, number)  # attached before any boot needs it
                self._minors[f"/dev/drbd{event['minor']}"] = name
                if self.files is not None:
                    self.files.appear(name, number, event["minor"], device)
                    self.last_device = time.monotonic()
            case "device-vanishes" if self.files is not None:
                self.files.vanish(name, number, event["minor"])

    def _promote(self) -> None:
        """What the machine has mounted is Primary: DRBD promotes at open and demotes at close."""
        mounted: set[str] = set()
        if self.mounts is not None:
            with contextlib.suppress(OSError):  # the machine may just have ended
                lines = self.mounts.read_text().splitlines()
                devices = {line.partition(" ")[0] for line in lines}
                mounted = {name for path, name in self._minors.items() if path in devices}
        for name in mounted ^ self._mounted:
            self._asks.ask({"op": "primary", "resource": name, "on": name in mounted})
        self._mounted = mounted

    def _refresh_texts(self) -> None:
        said = {what: self._asks.ask({"op": "drbd", "what": what})["text"] for what in _TEXTS}
        names = [resource["name"] for resource in json.loads(said["status"])]
        # Two nodes and no third: LINSTOR asks for no quorum (facts/fullstack-observed.md).
        show = [{"resource": name, "options": {"quorum": "off"}} for name in names]
        texts = {"events2": said["events2"], "status.json": said["status"]}
        for name, text in {**texts, "show.json": json.dumps(show) + "\n"}.items():
            if self._texts.get(name) != text:
                fresh = self._drbd / f".{name}"
                fresh.write_text(text)
                fresh.rename(self._drbd / name)
                self._texts[name] = text

    def stop(self) -> None:
        """End, whatever is going on."""
        self._over.set()
        self.join(_ANSWER)
        self._events.close()
        self._asks.close()


class Controller:
    """One controller for one machine. Use as a context manager; ``state`` keeps its database and disks."""

    def __init__(self, bench: rig.Rig, *, state: Path, drbd: Path) -> None:
        self._bench = bench
        state.mkdir(parents=True, exist_ok=True)
        drbd.mkdir(parents=True, exist_ok=True)
        self._control = bench.directory / "control"
        self._log = bench.directory / "controller.log"
        words = ["-m", "tidegate.sim.faces.linstor_http"]
        words += ["--listen", f"{machine.CONTROLLER_ADDRESS}:{PORT}"]
        words += ["--control", str(self._control), "--state", str(state / "controller.json")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                bench.in_network([sys.executable, *words]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=host.PROJECT,
                env={**os.environ, "PYTHONPATH": str(host.PROJECT / "src")},
                pass_fds=[bench.network],
            )
        (bench.beside / "cgroup.procs").write_text(str(self._process.pid))
        self._disks = volumes.Disks(state / "disks")
        try:
            self._line = self._connect()
            self._hand = _Hand(self._control, self._disks, drbd)
        except (host.LabError, OSError):
            self._process.kill()
            self._process.wait(_ANSWER)
            raise
        self._hand.start()

    def _connect(self) -> _Line:
        until = time.monotonic() + _ANSWER
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError):
                return _Line(self._control)
            time.sleep(0.02)
        words = self._log.read_text(errors="replace")[-1500:]
        raise host.LabError(f"the controller does not open {self._control}:\n{words}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def booting(self, booted: machine.Machine, faults: Sequence[sim_faults.Fault] = ()) -> None:
        """Say that ``booted`` has just started, and what goes wrong during this boot."""
        self._hand.files = volumes.DeviceFiles(booted.inside("/dev"))
        self._hand.mounts = Path(f"/proc/{booted.pid}/mounts")
        self._line.ask({"op": "boot", "faults": msgspec.to_builtins(list(faults))})

    def fault(self, kind: sim_faults.FaultKind, subject: str) -> None:
        """From now on ``kind`` is wrong with ``subject``, until :meth:`clear`."""
        self._line.ask({"op": "fault", "kind": kind.value, "subject": subject})

    def clear(self, kind: sim_faults.FaultKind, subject: str) -> None:
        """End every fault of ``kind`` of ``subject``."""
        self._line.ask({"op": "clear", "kind": kind.value, "subject": subject})

    def delete(self, path: str) -> None:
        """``DELETE`` something over REST, as a person at another node would, for example ``/v1/resource-definitions/NAME``."""
        self.call("DELETE", path)

    def call(self, method: str, path: str, body: Json | None = None) -> None:
        """Call the REST API, as a person at another node would."""
        data = None if body is None else json.dumps(body).encode()
        asks = (
            "import urllib.request as r; "
            f"r.urlopen(r.Request({URL + path!r}, data={data!r}, method={method!r}), timeout=20).read()"
        )
        words = self._bench.in_network([sys.executable, "-c", asks])
        host.run(words, timeout=30, fds=[self._bench.network])

    def crashed(self, names: Sequence[str], resync: float) -> None:
        """Say that the resources ``names`` were in use when the machine went down: at its next start they are copied for ``resync`` seconds."""
        self._line.ask({"op": "crashed", "resources": list(names), "resync": resync})

    def down(self) -> None:
        """Say that the machine is down."""
        self._hand.files = self._hand.mounts = None
        self._line.ask({"op": "halt"})

    def check(self) -> None:
        """Raise LabError if volumes could not be made as the simulator says."""
        if self._hand.trouble is not None:
            raise host.LabError(f"the lab's volumes: {self._hand.trouble}")

    @property
    def devices_at(self) -> float:
        """When the last device file appeared in a machine (host's monotonic clock); 0 when none did."""
        return self._hand.last_device

    def dump(self) -> Json:
        """All that the controller holds, and its last requests."""
        return self._line.ask({"op": "dump"})

    def close(self) -> None:
        """End the program, its state written, its volumes detached."""
        self._hand.stop()
        with contextlib.suppress(host.LabError, OSError):
            self._line.ask({"op": "quit"})
        self._line.close()
        try:
            self._process.wait(_ANSWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_ANSWER)
        self._disks.close()
