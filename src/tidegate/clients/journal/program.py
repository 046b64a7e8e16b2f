# SPDX-License-Identifier: Apache-2.0
"""journalctl as a bounded stream of bytes.

Not through ``clients.process``, which is for answers that are awaited: this is a million lines that a plain generator pulls, as fast
as journalctl makes them. The rules are the same: a list of arguments, a deadline, nothing left behind.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.clients import clock, process
from tidegate.clients.journal.notes import Notes

DEADLINE: Final = 600.0
"""Seconds for reading one journal: some hundred million bytes."""
_PIPE: Final = 1024 * 1024
_CHUNK: Final = 256 * 1024
_LAST_WORDS: Final = 400


def chunks(argv: Sequence[str], notes: Notes, *, deadline: float = DEADLINE) -> Iterator[bytes]:
    """Run ``argv`` and yield what it writes, for at most ``deadline`` seconds. Failing is a note; closing the generator ends the program."""
    until = clock.boottime() + deadline
    with tempfile.TemporaryFile() as words:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                env=process.environment(os.environ),
                start_new_session=True,
            )
        except OSError as error:
            notes.add(f"{argv[0]} could not be started: {error.strerror or error}")
            return
        try:
            yield from _read(child, argv, until, notes)
        finally:
            _end(child)
        # Not where the reader had enough: a program may say of its broken pipe what it likes.
        _say(child, words.fileno(), argv, notes)


def _read(
    child: "subprocess.Popen[bytes]", argv: Sequence[str], until: float, notes: Notes
) -> Iterator[bytes]:
    assert child.stdout is not None
    descriptor = child.stdout.fileno()
    with contextlib.suppress(OSError):  # more than an ordinary user may have
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
    while True:
        left = until - clock.boottime()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            notes.add(f"{argv[0]} was not done in time and was stopped: what follows is missing")
            return
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
            return
        yield chunk


def _end(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdout is not None
    child.stdout.close()
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5)


def _say(child: "subprocess.Popen[bytes]", words: int, argv: Sequence[str], notes: Notes) -> None:
    if child.returncode is None or child.returncode <= 0:  # well, or ended by us
        return
    said = os.pread(words, _LAST_WORDS, 0).decode("utf-8", errors="replace").strip()
    notes.add(f"{argv[0]} failed with exit code {child.returncode}: {said or 'it said nothing'}")
