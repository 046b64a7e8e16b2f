# SPDX-License-Identifier: Apache-2.0
"""Runs inside a machine of the boot lab (standard library only): makes facts and takes the time. Prints one line of JSON.

``python3 wake_driver.py ROUNDS SEED``, with PYTHONPATH as the agent has it. What LINSTOR shall say of this node is asked of whoever runs
it: it prints ``LINSTOR: STATUS`` and goes on after a line of input.
"""

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAB = Path("/run/lab/drbd")
AGENT = "/run/tidegate/agent.sock"
CONTROLLER = ("linstor-controller", 3370)
LET_GO = {0, 4}
_TIDEGATE = ("/usr/bin/python3", "-m", "tidegate")


def run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode in LET_GO, done.stderr  # degraded: the machine lacks a program or two
    return done.stdout


def is_ready(subject: str) -> bool:
    words = (*_TIDEGATE, "wait", subject, "--timeout", "0", "--quiet")
    return subprocess.run(words, check=False, capture_output=True, timeout=60).returncode in LET_GO


def wait_for(subject: str, happen: Callable[[], float], chance: random.Random) -> float:
    """Milliseconds from what ``happen`` returns, the moment of the fact, to the end of a ``tidegate wait`` for ``subject``."""
    end = time.monotonic() + 30
    while is_ready(subject):
        assert time.monotonic() < end, f"{subject} does not become unready"
        time.sleep(0.05)
    with subprocess.Popen(
        (*_TIDEGATE, "wait", subject, "--timeout", "30"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline(), f"{subject} did not have to be waited for"
        with ThreadPoolExecutor() as beside:
            ended = beside.submit(end_of, waiting)
            time.sleep(0.3 + chance.random())
            began = happen()
            return (ended.result() - began) * 1000


def end_of(waiting: subprocess.Popen[bytes]) -> float:
    """Return the moment at which a ``tidegate wait`` returned."""
    words = waiting.communicate()[1]
    ended = time.monotonic()
    assert waiting.returncode in LET_GO, f"exit {waiting.returncode}: {words.decode()}"
    return ended


def volumes() -> dict[str, str]:
    """Resource -> device of every volume that the agent knows (there are others: cached images)."""
    found = {}
    status = json.loads(run(*_TIDEGATE, "status", "--format", "json"))
    known = {
        subject["subject"].split("/")[1]
        for subject in status["subjects"]
        if subject["subject"].startswith("volume/")
    }
    for line in (LAB / "events2").read_text().splitlines():
        words = dict(word.split(":", 1) for word in line.split()[2:] if ":" in word)
        if line.split()[1] == "device" and words["name"] in known:
            found[words["name"]] = f"/dev/drbd{words['minor']}"
    return found


def device_appears(resource: str, device: str, chance: random.Random) -> float:
    aside = "/dev/aside"

    def back() -> float:
        os.rename(aside, device)  # noqa: PTH104
        return time.monotonic()

    os.rename(device, aside)  # noqa: PTH104
    return wait_for(f"volume/{resource}/0", back, chance)


def drbd_connects(resource: str, chance: random.Random) -> float:
    # In use here a volume is good without its peer.
    text = (LAB / "events2").read_text()
    text = text.replace("role:Primary", "role:Secondary").replace("promote:no", "promote:yes")

    def write(content: str) -> float:
        fresh = LAB / ".fresh"
        fresh.write_text(content)
        fresh.rename(LAB / "events2")
        return time.monotonic()

    lines = [
        line.replace("connection:Connected", "connection:Connecting")
        if f"name:{resource} " in line
        else line
        for line in text.splitlines(keepends=True)
    ]
    assert "".join(lines) != text
    write("".join(lines))
    return wait_for(f"volume/{resource}/0", lambda: write(text), chance)


def instance_starts(name: str, chance: random.Random) -> float:
    def start() -> float:
        run("incus", "start", name)
        return time.monotonic()

    run("incus", "stop", "--force", name)
    return wait_for(f"instance/default/{name}", start, chance)


def incus_is_through(chance: random.Random) -> float:
    """The unit turns active some time after incusd's first pass is over: who is told of that by something else is early, below zero."""
    unit = "incus.service"

    def start() -> float:
        run("systemctl", "start", unit)
        return entered(unit, "Active")

    forgive(unit)
    run("systemctl", "stop", unit)
    return wait_for("incus", start, chance)


def node_online(chance: random.Random) -> float:
    def says(status: str) -> float:
        print(f"LINSTOR: {status}", flush=True)
        sys.stdin.readline()
        return shown(status)

    says("OFFLINE")
    return wait_for("satellite", lambda: says("ONLINE"), chance)


def shown(status: str) -> float:
    """Return the moment at which the controller shows this node as ``status``."""
    line = http.client.HTTPConnection(*CONTROLLER, timeout=10)
    while True:
        line.request("GET", f"/v1/nodes/{socket.gethostname()}")
        if json.loads(line.getresponse().read())["connection_status"] == status:
            line.close()
            return time.monotonic()
        time.sleep(0.002)


def forgive(unit: str) -> None:
    """Have systemd forget how often it was started: its limit is not for us."""
    run("systemctl", "reset-failed", unit)


def entered(unit: str, state: str) -> float:
    return int(run("systemctl", "show", "-P", f"{state}EnterTimestampMonotonic", unit)) / 1e6


def seen_state(unit: str) -> str:
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(AGENT)
        asked.sendall(b'{"op": "snapshot"}\n')
        data = b""
        while not data.endswith(b"\n"):
            data += asked.recv(1 << 20)
    snapshot = json.loads(json.loads(data)["text"])
    return str(snapshot["units"]["value"][unit]["active_state"])


def unit_changes(unit: str, verb: str, expected: str, chance: random.Random) -> float:
    """Until the agent shows it: no subject hangs on this unit alone."""
    forgive(unit)
    time.sleep(0.3 + chance.random())
    run("systemctl", verb, unit)
    while seen_state(unit) != expected:
        time.sleep(0.005)
    now = time.monotonic()
    return (now - entered(unit, expected.capitalize())) * 1000


def main(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    found = volumes()
    resource, device = min(found.items())
    other = max(found)
    satellite = "linstor-satellite.service"
    rows = {
        "a device node appears": [device_appears(resource, device, chance) for _ in range(rounds)],
        "the unit of Incus turns active": [incus_is_through(chance) for _ in range(rounds)],
        "an Incus instance runs": [instance_starts("d1", chance) for _ in range(rounds)],
        "LINSTOR calls the node ONLINE (polled)": [node_online(chance) for _ in range(rounds)],
        "a unit changes (until the agent knows)": [
            unit_changes(satellite, verb, expected, chance)
            for _ in range((rounds + 1) // 2)
            for verb, expected in (("stop", "inactive"), ("start", "active"))
        ][:rounds],
    }
    # The lab's own hand must not write any more.
    kept = Path("/run/kept")
    shutil.copytree(LAB, kept)
    run("mount", "-t", "tmpfs", "tmpfs", str(LAB))
    shutil.copytree(kept, LAB, dirs_exist_ok=True)
    rows["DRBD connects to its peer"] = [drbd_connects(other, chance) for _ in range(rounds)]
    print(json.dumps(rows))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
