# SPDX-License-Identifier: Apache-2.0
"""``make bench-journal``: a million journal entries explained, against ``journalctl`` that writes the same fields to nowhere.

Makes a journal with ``systemd-journal-remote`` (package of that name): a recorded boot, and round it the chatter of a busy host. Prints the
best of three runs each, taken turn by turn, warm cache; exit code 1 when the explanation takes more than 1.3 times as long, or more than
80 MiB.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import boot_journals

from tidegate.boot.model import Entry
from tidegate.clients.journal import decode

LIMIT = 1.3
MEMORY = 80
RUNS = 3
_PLACES = ("/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote")
_CHATTER = (
    (
        "sshd",
        "ssh.service",
        6,
        "Accepted publickey for root from 10.0.{a}.{b} port {c} ssh2: ED25519 SHA256:uiPngSBqtTCBno0vu2qL6n8sevg00uTxuJf1igqazac",
    ),
    (
        "sshd",
        "ssh.service",
        6,
        "pam_unix(sshd:session): session opened for user root(uid=0) by root(uid=0)",
    ),
    (
        "CRON",
        "cron.service",
        6,
        "(root) CMD (test -x /usr/sbin/anacron || {{ cd / && run-parts --report /etc/cron.hourly; }} # {c})",
    ),
    ("systemd", "init.scope", 6, "Started session-{c}.scope - Session {c} of User root."),
    ("systemd", "init.scope", 6, "run-user-{b}.mount: Deactivated successfully."),
    ("dnsmasq", "dnsmasq.service", 6, "query[A] host{c}.example.com from 10.0.{a}.{b}"),
    ("kernel", "", 6, "incusbr0: port {b}(veth{c}) entered forwarding state"),
    ("kernel", "", 4, "nf_conntrack: table full, dropping packet {c}"),
    (
        "Satellite",
        "linstor-satellite.service",
        6,
        "2026-11-23 07:31:54.246 [MainWorkerPool-2] INFO  LINSTOR/Satellite/{c:06x} SYSTEM - SpaceInfo: thin -> {c}/{c}",
    ),
    (
        "prometheus",
        "prometheus.service",
        6,
        'ts=2026-11-24T02:21:11Z caller=head.go:{b} level=info component=tsdb msg="Head GC completed" duration={c}ms',
    ),
)


def remote() -> str:
    """Return where systemd-journal-remote is; empty where it is not installed."""
    named = os.environ.get("JOURNAL_REMOTE", "")
    places = (named, *_PLACES) if named else _PLACES
    return next((place for place in places if Path(place).exists()), "")


def export(number: int, seed: int = 1) -> Iterator[bytes]:
    """Yield ``number`` entries in the export format: a recorded boot, with chatter between its lines and after them."""
    chance = random.Random(seed)
    boot = list(boot_journals.entries(boot_journals.BOOTS / "fullstack" / "s2-power-loss.json.gz"))
    between = max((number - len(boot)) // len(boot), 0)
    last = boot[-1]
    written = 0
    for entry in boot:
        yield _entry(entry)
        for step in range(between):
            yield _entry(_chatter(chance, entry, step + 1))
        written += 1 + between
    for step in range(number - written):
        yield _entry(_chatter(chance, last, step + 1))


def _chatter(chance: random.Random, near: Entry, step: int) -> Entry:
    who, unit, priority, text = _CHATTER[chance.randrange(len(_CHATTER))]
    small, big = chance.randrange(1, 255), chance.randrange(1_000_000)
    return Entry(
        message=text.format(a=small, b=small, c=big),
        at=(near.at or 0.0) + step * 1e-6,
        wall=(near.wall or 0.0) + step * 1e-6,
        unit=unit,
        identifier=who,
        pid=1 if who == "systemd" else big,
        priority=priority,
        transport="kernel" if who == "kernel" else "syslog",
        boot=near.boot,
        hostname=near.hostname,
    )


def _entry(entry: Entry) -> bytes:
    fields = {
        "__REALTIME_TIMESTAMP": str(round((entry.wall or 0.0) * 1e6)),
        "__MONOTONIC_TIMESTAMP": str(round((entry.at or 0.0) * 1e6)),
        "_BOOT_ID": entry.boot,
        "_TRANSPORT": entry.transport,
        "PRIORITY": str(entry.priority),
        "SYSLOG_IDENTIFIER": entry.identifier,
        "_SYSTEMD_UNIT": entry.unit,
        "_PID": "" if entry.pid is None else str(entry.pid),
        "_HOSTNAME": entry.hostname,
        "_UID": "0",
        "_GID": "0",
        "_COMM": entry.identifier,
        "_EXE": f"/usr/bin/{entry.identifier}",
        "_CMDLINE": f"/usr/bin/{entry.identifier} --daemon",
        "_MACHINE_ID": "93e8f4fc342e4bf28218373dbb86f27b",
        **entry.fields,
        "MESSAGE": entry.message.replace("\n", " "),
    }
    return "".join(f"{name}={text}\n" for name, text in fields.items() if text).encode() + b"\n"


def make(path: Path, number: int) -> None:
    """Write a journal of ``number`` entries into the folder ``path``."""
    child = subprocess.Popen(
        [remote(), f"--output={path / 'big.journal'}", "--split-mode=none", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin is not None
    with child.stdin as pipe:
        held: list[bytes] = []
        for entry in export(number):
            held.append(entry)
            if len(held) >= 1000:
                pipe.write(b"".join(held))
                held = []
        pipe.write(b"".join(held))
    child.wait(timeout=60)


def to_nowhere(path: Path) -> float:
    """Return how long journalctl needs to write the fields that we read to nowhere."""
    began = time.perf_counter()
    subprocess.run(
        [
            "journalctl",
            "--quiet",
            "--no-pager",
            "--output=json",
            f"--output-fields={','.join(decode.FIELDS)}",
            f"--directory={path}",
        ],
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    return time.perf_counter() - began


_EXPLAIN = """
import json, resource, sys
from pathlib import Path
from tidegate.boot import analyse
from tidegate.clients.journal import read
notes = read.Notes()
boot = analyse(read.machine(notes, directory=Path(sys.argv[1])))
print(json.dumps([boot.entries, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [c.code for c in boot.first_causes], notes.lines()]))
"""


def explained(path: Path) -> tuple[float, int, int, list[str]]:
    """Return how long the explanation takes, its peak memory in KiB, the entries it read, and the first causes."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _EXPLAIN, str(path)], capture_output=True, check=True, timeout=600
    )
    took = time.perf_counter() - began
    entries, memory, causes, _ = json.loads(done.stdout)
    return took, memory, entries, causes


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if not remote() or shutil.which("journalctl") is None:
        print(
            "needs journalctl and systemd-journal-remote (the package of that name; JOURNAL_REMOTE names its program)"
        )
        return 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        make(path, options.entries)
        to_nowhere(path)
        plain, ours, memory, entries, causes = [], [], 0, 0, [""]
        for _ in range(RUNS):
            plain.append(to_nowhere(path))
            took, peak, entries, causes = explained(path)
            ours.append(took)
            memory = max(memory, peak // 1024)
    ratio = min(ours) / min(plain)
    print(
        f"{entries} entries: journalctl {min(plain):.2f} s, explained {min(ours):.2f} s: {ratio:.2f} times (limit {LIMIT}); peak {memory} MiB (limit {MEMORY}); first causes {', '.join(causes)}"
    )
    if options.json is not None:
        options.json.write_text(
            json.dumps(
                {
                    "entries": entries,
                    "journalctl_s": plain,
                    "explained_s": ours,
                    "ratio": ratio,
                    "peak_mib": memory,
                    "children_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
                }
            )
        )
    return 0 if ratio <= LIMIT and memory <= MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
