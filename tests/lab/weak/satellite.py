#!/usr/bin/python3 -IS
"""The boot lab's java, where a satellite takes its time: opens its port late, asks LVM and ZFS as a real one does, brings devices up.

How late is in /etc/lab-took.json; the flags that ``tidegate tune`` advises make it quicker. What it has done it says in /run/lab-*,
and the lab ends faults by that.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

QUICK = {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
VOLUMES = "name,refer,volsize,type,volblocksize,origin,clones"


def main() -> None:
    if "-version" in sys.argv:
        print('openjdk version "21.0.5" (boot lab)', file=sys.stderr)
        return
    took = json.loads(Path("/etc/lab-took.json").read_text())
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(took.get("files", 0))]
    time.sleep(took["jvm"] * (0.3 if set(sys.argv) >= QUICK else 1.0))
    while time.process_time() < took.get("computes", 0.0):
        pass
    port = socket.socket(socket.AF_INET6)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("::", 3366))
    port.listen()
    done("listening")
    ask()
    wait_for("online", took["connect"])
    resources = len(list(Path("/var/lib/linstor.d").glob("*.res")))
    wait_for("devices", took["devices"] + took["kept"] * resources)
    while kept is not None:
        time.sleep(3600)


def ask() -> None:
    """What a full sync asks (facts/linstor.md 8.2, 13): disks of the group once, volumes, and all that ZFS has."""
    run("pvdisplay", "--columns", "-o", "pv_name", "-S", "vg_name=vg0")
    run("lvs", "-o", "lv_name,lv_path", "vg0")
    for _ in range(2):
        run("zfs", "list", "-r", "-H", "-p", "-o", VOLUMES, "-t", "volume,snapshot", "tank")


def wait_for(what: str, seconds: float) -> None:
    """Rounds of the controller that are lost, unless somebody wakes it; devices, unless they came up before the satellite."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not Path(f"/run/lab-{what}").exists():
        time.sleep(0.05)
    done(what)


def run(*words: str) -> None:
    if shutil.which(words[0]):
        subprocess.run(words, stdout=subprocess.DEVNULL, check=False)


def done(what: str) -> None:
    Path(f"/run/lab-{what}").touch()


main()
