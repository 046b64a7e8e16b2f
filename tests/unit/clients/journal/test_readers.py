"""Readers: every form a journal or a log is kept in, and what damage does to it."""

import gzip
import json
import struct
import sys
from pathlib import Path

import pytest
from tests import boot_journals

from tidegate.boot.model import Entry
from tidegate.clients.journal import decode, files, program, read, text
from tidegate.clients.journal.notes import Notes

LINE = {
    "__CURSOR": "s=1;i=2",
    "__REALTIME_TIMESTAMP": "1795419076324979",
    "__MONOTONIC_TIMESTAMP": "2938922",
    "_BOOT_ID": "7c6069d82adf4969867434179cf568bc",
    "MESSAGE": "Starting incus.service - Incus - Main daemon...",
    "PRIORITY": "6",
    "SYSLOG_IDENTIFIER": "systemd",
    "_SYSTEMD_UNIT": "init.scope",
    "UNIT": "incus.service",
    "_PID": "1",
    "_TRANSPORT": "journal",
    "_HOSTNAME": "n1",
    "JOB_TYPE": "start",
}


def of(path: Path) -> tuple[list[Entry], tuple[str, ...]]:
    notes = Notes()
    return list(read.file(path, notes)), notes.lines()


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_line_of_json() -> None:
    entry = decode.json_line(json.dumps(LINE).encode(), 7, "j", Notes())

    assert entry is not None
    assert (entry.at, entry.wall, entry.unit, entry.pid, entry.priority) == (
        2.938922,
        1795419076.324979,
        "incus.service",
        1,
        6,
    )
    assert entry.fields == {"JOB_TYPE": "start"}
    assert (entry.line, entry.source, entry.cursor) == (7, "j", "s=1;i=2")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ([72, 105, 255], "Hi\ufffd"),
        (None, decode.TOO_LONG),
        (["first", "second"], "first"),
        ([[104, 105]], ""),
        (17, "17"),
    ],
)
def test_messages_that_are_no_plain_text(message: object, expected: str) -> None:
    entry = decode.json_line(json.dumps({**LINE, "MESSAGE": message}).encode(), 1, "j", Notes())

    assert entry is not None
    assert entry.message == expected
    assert entry.at == 2.938922


@pytest.mark.parametrize("number", ["x", "-5", "9" * 40, "9" * 400, ""])
def test_numbers_that_are_none(number: str) -> None:
    fields = {**LINE, "__MONOTONIC_TIMESTAMP": number, "_PID": number, "PRIORITY": number}

    entry = decode.json_line(json.dumps(fields).encode(), 1, "j", Notes())

    assert entry is None or entry.at is None


def test_damage_is_noted_and_the_rest_is_read(tmp_path: Path) -> None:
    good = json.dumps(LINE).encode()
    path = put(
        tmp_path,
        "j.json",
        b"\n".join([good, b'{"MESSAGE": "cut', b"[1]", b'{"MESSAGE":"\xff\xfe"}', good]),
    )

    entries, notes = of(path)

    assert [entry.message for entry in entries][0::2] == [LINE["MESSAGE"]] * 2
    assert entries[1].message == "\ufffd\ufffd"
    assert [entry.line for entry in entries] == [1, 4, 5]
    assert len(notes) == 2


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    good = json.dumps(LINE).encode()
    path = put(
        tmp_path, "j.json", good + b"\n" + b'{"MESSAGE":"' + b"x" * 5_000_000 + b'"}\n' + good
    )

    entries, notes = of(path)

    assert len(entries) == 2
    assert any("longer than" in note for note in notes)


def test_gzip_whole_cut_and_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(b"\n".join([json.dumps(LINE).encode()] * 5000))
    cut, damaged = whole[: len(whole) // 2], whole[:200] + b"\x00" * 50 + whole[250:]

    assert len(of(put(tmp_path, "a.gz", whole))[0]) == 5000
    entries, notes = of(put(tmp_path, "b.gz", cut))
    assert 0 < len(entries) < 5000
    assert any("cut off" in note for note in notes)
    assert any("damaged" in note for note in of(put(tmp_path, "c.gz", damaged))[1])


def test_gzip_members_one_after_another(tmp_path: Path) -> None:
    one = gzip.compress(json.dumps(LINE).encode() + b"\n")

    assert len(of(put(tmp_path, "a.gz", one + one))[0]) == 2


def test_json_pretty_and_json_seq(tmp_path: Path) -> None:
    pretty = "\n".join(json.dumps(LINE, indent=8) for _ in range(3)).encode()
    seq = b"\n".join(b"\x1e" + json.dumps(LINE).encode() for _ in range(3))

    assert len(of(put(tmp_path, "p", pretty))[0]) == 3
    assert len(of(put(tmp_path, "s", seq))[0]) == 3


def test_the_export_format_with_a_binary_field(tmp_path: Path) -> None:
    message = b"two\nlines \xff"
    head = "".join(
        f"{name}={value}\n" for name, value in LINE.items() if name != "MESSAGE"
    ).encode()
    entry = head + b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n"
    entries, notes = of(
        put(tmp_path, "e", entry + b"\n" + entry + b"\n" + head + b"MESSAGE\n\x01\x02")
    )

    assert [found.message for found in entries] == ["two\nlines \ufffd"] * 2 + [""]
    assert entries[0].unit == "incus.service"
    assert any("middle of an entry" in note for note in notes)


@pytest.mark.parametrize(
    ("line", "at", "wall", "who", "message"),
    [
        (
            "[    1.516867] n1 systemd[1]: Starting incus.service - Incus - Main daemon...",
            1.516867,
            None,
            "systemd",
            "Starting incus.service - Incus - Main daemon...",
        ),
        (
            "[    5.000001] n1 kernel: drbd odd: Starting worker thread",
            5.000001,
            None,
            "kernel",
            "drbd odd: Starting worker thread",
        ),
        (
            "[   42.123456] drbd odd: Starting worker thread (node-id 1)",
            42.123456,
            None,
            "kernel",
            "drbd odd: Starting worker thread (node-id 1)",
        ),
        (
            "2026-11-23T08:35:36.690031+00:00 n1 Satellite[514]: hello",
            None,
            1795422936.690031,
            "Satellite",
            "hello",
        ),
        (
            "2026-11-23T10:35:36+0200 n1 Satellite[514]: hello",
            None,
            1795422936.0,
            "Satellite",
            "hello",
        ),
        (
            "1795422936.690031 n1 Satellite[514]: hello",
            None,
            1795422936.690031,
            "Satellite",
            "hello",
        ),
        (
            "Mon 2026-11-23 08:35:36 UTC n1 Satellite[514]: hello",
            None,
            1795422936.0,
            "Satellite",
            "hello",
        ),
        ("Nov 23 08:35:36 n1 Satellite[514]: hello", None, 91355736.0, "Satellite", "hello"),
        (
            'time="2026-11-23T08:35:36Z" level=error msg="x"',
            None,
            1795422936.0,
            "incusd",
            'time="2026-11-23T08:35:36Z" level=error msg="x"',
        ),
        (
            "2026-11-23 08:35:36.690 [main] INFO  LINSTOR/Satellite/ff3c1d SYSTEM - hello",
            None,
            1795422936.690,
            "Satellite",
            "2026-11-23 08:35:36.690 [main] INFO  LINSTOR/Satellite/ff3c1d SYSTEM - hello",
        ),
        (
            "2026-11-23T07:36:52.829Z ctl 2026-11-23 07:36:52.825 [x] INFO  LINSTOR/Controller/8dd43f SYSTEM - y",
            None,
            1795419412.829,
            "Controller",
            "2026-11-23 07:36:52.825 [x] INFO  LINSTOR/Controller/8dd43f SYSTEM - y",
        ),
    ],
)
def test_forms_of_plain_text(
    line: str, at: float | None, wall: float | None, who: str, message: str
) -> None:
    (entry,) = text.read([line.encode()], "t", Notes())

    assert (entry.at, entry.identifier, entry.message) == (at, who, message)
    assert entry.wall == (wall if wall is None else pytest.approx(wall))


def test_separators_of_boots_in_plain_text() -> None:
    lines = [
        b"-- Boot 11111111111111111111111111111111 --",
        b"[    1.000000] n1 systemd[1]: one",
        b"-- Boot 22222222222222222222222222222222 --",
        b"[    1.000000] n1 systemd[1]: two",
    ]

    assert [entry.boot[0] for entry in text.read(lines, "t", Notes())] == ["1", "2"]


def test_a_log_of_linstor_without_dates_goes_on_after_midnight() -> None:
    lines = (
        b"LINSTOR, Module Satellite",
        b"23:59:58.500 [Main] INFO  LINSTOR/Satellite - SYSTEM - Loading API classes started.",
        b"00:00:04.500 [Main] INFO  LINSTOR/Satellite - SYSTEM - NetComService started on port /0:0:0:0:0:0:0:0:3366",
    )

    first, begun, listens = text.read(lines, "linstor-Satellite.log", Notes())

    assert first.unit == begun.unit == listens.unit == "linstor-satellite.service"
    assert begun.wall is not None
    assert listens.wall is not None
    assert listens.wall - begun.wall == pytest.approx(6.0)


def test_a_trace_carries_the_time_of_its_line() -> None:
    lines = [
        b"2026-11-23 08:35:36.690 [main] ERROR LINSTOR/Satellite/ff3c1d SYSTEM - bad",
        b"\tat com.linbit.X",
        b"",
        b"Caused by: y",
    ]

    entries = list(text.read(lines, "t", Notes()))

    assert len({entry.wall for entry in entries}) == 1
    assert [entry.line for entry in entries] == [1, 2, 4]


def test_an_error_report_says_what_failed_and_when() -> None:
    path = (
        boot_journals.BOOTS
        / "linstor"
        / "c2_pool_directory_missing_at_start"
        / "ErrorReport-6B03F0B3-63795-000002.log.gz"
    )

    ((entry,), notes) = of(path)

    assert notes == ()
    assert entry.hostname == "n1"
    assert entry.wall == 1795420360.0
    assert "df: /srv/pool-n1/data: No such file or directory" in entry.message


def test_a_file_that_cannot_be_read_is_a_note(tmp_path: Path) -> None:
    assert (
        of(tmp_path / "none")[1] == ("none: No such file or directory",) * 1
        or of(tmp_path / "none")[0] == []
    )
    assert of(put(tmp_path, "empty", b""))[1] == ("empty: empty",)
    assert "cannot be read" in of(put(tmp_path, "z.zst", b"\x28\xb5\x2f\xfdxxxx"))[1][0]


def test_a_folder_is_read_journals_first_and_links_are_not_followed(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.log",
        b"2026-11-23 07:31:54.246 [Main] INFO  LINSTOR/Satellite/00 SYSTEM - text",
    )
    (tmp_path / "sub").mkdir()
    put(tmp_path / "sub", "z.json", json.dumps(LINE).encode())
    (tmp_path / "link").symlink_to("/etc/passwd")

    entries = list(read.directory(tmp_path, Notes()))

    assert [entry.source for entry in entries] == ["sub/z.json", "a.log"]


def test_what_is_no_journal_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "a.json", json.dumps(LINE).encode())
    put(tmp_path, "b.json", b'{"nodes": {"n1": 1}}\n{"x": [1, 2]}')
    put(tmp_path, "c.db", b"SQLite format 3\x00" + b"\x00" * 5000)
    put(tmp_path, "d.txt", b"[    1.5] n1 systemd[1]: one\n[    1.516867] n1 systemd[1]: one\n" * 5)
    notes = Notes()

    entries = list(read.directory(tmp_path, notes))

    assert [entry.source for entry in entries] == ["a.json"]
    assert any("d.txt: a journal as text" in note for note in notes.lines())


def test_what_a_file_is_is_told_by_its_first_bytes() -> None:
    assert files.form_of(b"LPKSHHRH\x00") is files.Form.JOURNAL
    assert files.form_of(b'{"MESSAGE":"x"}') is files.Form.JSON
    assert files.form_of(b"__CURSOR=s=1\n") is files.Form.EXPORT
    assert files.form_of(b"\n\nERROR REPORT 6B03F0B3") is files.Form.REPORT
    assert files.form_of(b"anything") is files.Form.TEXT


def test_a_program_that_hangs_is_stopped_at_the_deadline() -> None:
    notes = Notes()
    argv = [sys.executable, "-uc", "import time; print('one'); time.sleep(600)"]

    found = b"".join(program.chunks(argv, notes, deadline=1.5))

    assert found == b"one\n"
    assert "not done in time" in notes.lines()[0]


def test_a_program_that_fails_or_is_missing_says_so() -> None:
    notes = Notes()

    assert (
        b"".join(
            program.chunks([sys.executable, "-c", "import sys; sys.exit('no journal')"], notes)
        )
        == b""
    )
    assert b"".join(program.chunks(["/no/such/program"], notes)) == b""

    assert "exit code 1: no journal" in notes.lines()[0]
    assert "could not be started" in notes.lines()[1]


def test_ending_early_ends_the_program() -> None:
    notes = Notes()
    stream = program.chunks([sys.executable, "-c", "while True: print('x' * 1000)"], notes)

    assert next(iter(stream))
    stream.close()  # type: ignore[attr-defined]

    assert notes.lines() == ()


@pytest.mark.needs("journalctl")
def test_an_empty_folder_of_journals_has_no_boots(tmp_path: Path) -> None:
    notes = Notes()

    assert read.boots(notes, directory=tmp_path) == ()
    assert list(read.machine(notes, directory=tmp_path)) == []
