#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
"""The boot lab's drbdsetup: says what the simulator's DRBD says, from files that the lab replaces in /run/lab/drbd.

``events2`` (a full dump; without ``--now`` it goes on with create, change and destroy lines), ``status --json``, ``show --json``.
Nothing here can change anything: every other verb is refused.
"""

import sys
import time
from pathlib import Path

LAB = Path("/run/lab/drbd")
EVENTS = LAB / "events2"
KEY_FIELDS = {"resource": 1, "connection": 3, "device": 2, "peer-device": 4, "path": 5}


def text(name: str, without: str) -> str:
    try:
        return (LAB / name).read_text()
    except FileNotFoundError:
        return without


def written() -> int:
    try:
        return EVENTS.stat().st_mtime_ns
    except FileNotFoundError:
        return -1


def say(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def keyed(dump: list[str]) -> dict[str, str]:
    """Object's identity -> its whole line without the leading verb."""
    found = {}
    for line in dump:
        _, kind, *fields = line.split(" ")
        if kind in KEY_FIELDS:
            found[" ".join([kind, *fields[: KEY_FIELDS[kind]]])] = " ".join([kind, *fields])
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    gone = [f"destroy {key}" for key in reversed(before) if key not in after]
    return gone + [
        f"{'change' if key in before else 'create'} {line}"
        for key, line in after.items()
        if before.get(key) != line
    ]


def events2(once: bool) -> int:
    dump = text("events2", "exists -\n").splitlines()
    say(dump)
    if once:
        return 0
    known, stamp = keyed(dump), 0
    while True:  # cheaply: a real one sleeps in the kernel, and its place in the boot's figures is next to nothing
        time.sleep(0.01)
        if (now := written()) == stamp:
            continue
        stamp = now
        after = keyed(text("events2", "exists -\n").splitlines())
        if after != known:
            say(changes(known, after))
            known = after


def main(words: list[str]) -> int:
    if not Path("/sys/module/drbd").exists():
        sys.stderr.write("Could not connect to 'drbd' generic netlink family\n")
        return 20
    match words:
        case ["events2", *options]:
            return events2("--now" in options)
        case ["status" | "show" as verb, *options] if "--json" in options:
            sys.stdout.write(text(f"{verb}.json", "[\n]\n\n"))
            return 0
    sys.stderr.write(f"boot lab: drbdsetup {' '.join(words)} is not simulated\n")
    return 20


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(1)
