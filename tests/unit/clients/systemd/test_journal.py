# SPDX-License-Identifier: Apache-2.0
import array
import io
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.clients.systemd import journal


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        receiver.settimeout(10)
        yield receiver


@pytest.fixture
def log(tmp_path: Path, journald: socket.socket) -> Iterator[logging.Logger]:
    logger = logging.Logger("tidegate.test")  # noqa: LOG001 - not shared with other tests
    handler = journal.handler(tmp_path / "socket", fallback=io.StringIO())
    logger.addHandler(handler)
    yield logger
    handler.close()


def decode(data: bytes) -> dict[str, str]:
    """An entry of the native protocol, read as journald reads it."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


def test_an_entry_has_message_priority_and_our_fields(
    log: logging.Logger, journald: socket.socket
) -> None:
    extra = {
        "TIDEGATE_EVENT": "verdict",
        "TIDEGATE_CODE": "pool.unavailable",
        "TIDEGATE_SUBJECT": "pool/remote",
        "TIDEGATE_CAUSE": None,
    }
    log.warning("pool %s is %s", "remote", "unavailable", extra=extra)
    entry = decode(journald.recv(65536))
    assert entry["MESSAGE"] == "pool remote is unavailable"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "tidegate"
    assert entry["TIDEGATE_EVENT"] == "verdict"
    assert entry["TIDEGATE_SUBJECT"] == "pool/remote"
    assert "TIDEGATE_CAUSE" not in entry


@pytest.mark.parametrize(
    ("level", "priority"), [(10, "7"), (20, "6"), (30, "4"), (40, "3"), (50, "2")]
)
def test_priorities(
    log: logging.Logger, journald: socket.socket, level: int, priority: str
) -> None:
    log.log(level, "x")
    assert decode(journald.recv(65536))["PRIORITY"] == priority


def test_lines_stay_in_one_entry_and_nobody_can_forge_a_field(
    log: logging.Logger, journald: socket.socket
) -> None:
    log.error("first\nPRIORITY=0\nlast")
    entry = decode(journald.recv(65536))
    assert entry["MESSAGE"] == "first\nPRIORITY=0\nlast"
    assert entry["PRIORITY"] == "3"


def test_a_traceback_is_part_of_the_message(log: logging.Logger, journald: socket.socket) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("it failed")
    message = decode(journald.recv(65536))["MESSAGE"]
    assert message.startswith("it failed\nTraceback")
    assert message.endswith("ValueError: broken")


def test_what_is_too_large_for_a_datagram_comes_as_a_sealed_file(
    log: logging.Logger, journald: socket.socket
) -> None:
    log.info("x" * 2_000_000)
    data, descriptors, _, _ = socket.recv_fds(journald, 65536, 1)
    assert data == b""
    (descriptor,) = array.array("i", descriptors)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        assert decode(file.read())["MESSAGE"] == "x" * 2_000_000


def test_a_journal_that_does_not_read_blocks_nobody(
    tmp_path: Path, journald: socket.socket
) -> None:
    text = io.StringIO()
    logger = logging.Logger("tidegate.test")  # noqa: LOG001 - not shared with other tests
    handler = journal.handler(tmp_path / "socket", fallback=text)
    logger.addHandler(handler)
    for number in range(5000):
        logger.info("line %d", number)
    handler.close()
    assert isinstance(handler, journal.JournalHandler)
    assert handler.lost > 0
    assert text.getvalue().endswith("<6>line 4999\n")


def test_a_journal_that_went_away(tmp_path: Path, journald: socket.socket) -> None:
    text = io.StringIO()
    logger = logging.Logger("tidegate.test")  # noqa: LOG001 - not shared with other tests
    handler = journal.handler(tmp_path / "socket", fallback=text)
    logger.addHandler(handler)
    (tmp_path / "socket").unlink()
    logger.error("still told")
    handler.close()
    assert text.getvalue() == "<3>still told\n"


def test_without_a_journal_standard_error_it_is(tmp_path: Path) -> None:
    text = io.StringIO()
    logger = logging.Logger("tidegate.test")  # noqa: LOG001 - not shared with other tests
    logger.addHandler(journal.handler(tmp_path / "none", fallback=text))
    logger.warning("hello", extra={"TIDEGATE_EVENT": "x"})
    assert text.getvalue() == "WARNING: hello\n"


def test_the_journal_reads_us_only_where_standard_error_is_its_own() -> None:
    """By hand on a terminal the variable may be inherited, and a person looks."""
    own = os.fstat(2)
    assert journal.is_read({"JOURNAL_STREAM": f"{own.st_dev}:{own.st_ino}"})
    for other in ({}, {"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": f"{own.st_dev}:{own.st_ino + 1}"}):
        assert not journal.is_read(other)
