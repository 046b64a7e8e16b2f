# SPDX-License-Identifier: Apache-2.0
"""``tidegate boot`` on recorded boots: from files, from several in one, from a bundle; nothing of this machine is read."""

import gzip
import json
import tarfile
from pathlib import Path

import pytest
from tests.journals import recorded_journal

from tidegate.cli import boot_source, main
from tidegate.clients import bundle

DATA = Path(__file__).resolve().parents[2] / "data" / "real-boots"
CRASH, DOWN, ORDER = (
    str(DATA / f"r-{name}.boot.json.gz") for name in ("crash", "notify-ctrl-down", "notify-order")
)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main.main(["boot", *words])
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.fixture
def both(tmp_path: Path) -> str:
    """Two boots of a machine in one file, the crash first."""
    path = tmp_path / "two.json"
    path.write_bytes(b"".join(gzip.decompress(Path(one).read_bytes()) for one in (CRASH, ORDER)))
    return str(path)


@pytest.mark.parametrize(
    ("file", "code", "word", "cause"),
    [
        (CRASH, 4, "still coming up", "satellite.late"),
        (DOWN, 1, "something stayed down", "satellite.start-timeout"),
        (ORDER, 0, "nothing wrong", ""),
    ],
)
def test_a_recorded_boot_is_shown_in_every_format(
    file: str, code: int, word: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told, text = run(capsys, "show", "--file", file)
    assert (told, word in text, cause in text) == (code, True, True)
    told, text = run(capsys, "show", "--file", file, "--format", "json")
    found = json.loads(text)
    assert found["first_causes"][:1] == ([f"{cause}:satellite"] if cause else [])
    for kind, head in (("html", "<!DOCTYPE html>"), ("svg", "<?xml")):
        told, text = run(capsys, "show", "--file", file, "--format", kind)
        assert (told, text.startswith(head)) == (code, True)
    told, text = run(capsys, "explain", "--file", file)
    assert (told, word in text, cause in text) == (code, True, True)


def test_several_boots_in_one_file_are_told_apart(
    both: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(capsys, "list", "--file", both)
    numbers = [line.split()[:2] for line in text.splitlines()]
    assert (code, [one[0] for one in numbers]) == (0, ["-1", "0"])
    assert "still coming up" in text.splitlines()[0]
    assert run(capsys, "show", "--file", both)[0] == 0
    for wish in ("-1", "1", numbers[0][1]):
        assert run(capsys, "show", "--file", both, "-b", wish)[0] == 4, wish
    code, text = run(capsys, "compare", "--file", both)
    assert (code, "Gone: satellite.late" in text) == (0, True)
    code, text = run(capsys, "compare", "0", "-1", "--file", both, "--format", "json")
    assert [one["code"] for one in json.loads(text)["new_causes"]][:1] == ["satellite.late"]


def test_the_machines_own_journal_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded_journal(tmp_path, monkeypatch)
    for words in (("show",), ("show", "-b", "a4de"), ("list",), ("list", "--boots", "1")):
        code, text = run(capsys, *words, "--state-dir", str(tmp_path))
        assert (code, "nothing wrong" in text) == (0, True), text
    path = tmp_path / "x.tar.gz"
    code, text = run(capsys, "export", "-o", str(path), "--state-dir", str(tmp_path))
    assert (code, "271 lines" in text) == (0, True)
    (tmp_path / "journalctl").write_text("#!/bin/sh\necho no journal >&2\nexit 1\n")
    code, text = run(capsys, "show", "--state-dir", str(tmp_path))
    assert (code, "no journal" in text, "run as root" in text) == (5, True, True)


def test_what_is_not_there_is_said(
    both: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, part in (
        (("show", "--file", both, "-b", "-7"), "there is no boot '-7'; 2 are known"),
        (("show", "--file", both, "-b", "zzz"), "there is no boot 'zzz'"),
        (("show", "--file", str(tmp_path / "none")), "does not exist"),
        (("show", "--directory", str(tmp_path / "none")), "does not exist"),
    ):
        code, text = run(capsys, *words)
        assert (code, part in text) == (5, True), text
    (tmp_path / "empty").touch()
    code, text = run(capsys, "list", "--file", str(tmp_path / "empty"))
    assert (code, "no line of a journal was found" in text) == (5, True)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "-1"),
        ("compare", "0"),
        ("list", "--format", "html"),
        ("export", "--format", "svg"),
        ("burn",),
    ],
)
def test_what_makes_no_sense_is_a_mistake(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(capsys, *words)
    assert end.value.code == 2


@pytest.mark.parametrize("mask", [False, True])
def test_everything_works_on_a_bundle(
    mask: bool, both: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.tar.gz"
    options = ("--mask",) if mask else ()
    code, text = run(capsys, "export", "--file", both, "-b", "-1", "-o", str(path), *options)
    assert (code, str(path) in text, "--mask" in text) == (0, True, not mask)
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    plain = json.loads(run(capsys, "show", "--file", CRASH, "--format", "json")[1])
    code, text = run(capsys, "show", "--file", str(path), "--format", "json")
    again = json.loads(text)
    for key in ("status", "first_causes", "entries", "length"):
        assert again[key] == plain[key]
    for verb in ("list", "explain"):
        assert run(capsys, verb, "--file", str(path))[0] in {0, 4}
    with tarfile.open(path) as archive:
        whole = b"".join(
            file.read() for member in archive if (file := archive.extractfile(member)) is not None
        ).decode()
    assert (plain["hostname"] in whole.split('"')) is not mask
    assert ("10.99." in whole) is not mask
    # A masked bundle can be exported once more, and the other way round.
    assert (
        run(capsys, "export", "--file", str(path), "-o", str(tmp_path / "2.tar.gz"), "--mask")[0]
        == 0
    )


def test_a_bundle_that_was_cut_is_read_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.tar.gz"
    run(capsys, "export", "--file", DOWN, "-o", str(path))
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) // 3, 40, 2, 0):
        path.write_bytes(data[:size])
        code, text = run(capsys, "show", "--file", str(path))
        assert code in {0, 1, 4, 5}
        assert "Traceback" not in text
    path.write_bytes(data[: len(data) * 2 // 3] + b"\0" * 500)
    run(capsys, "show", "--file", str(path))


def test_a_bundle_names_its_members_and_holds_nothing_that_could_be_unpacked_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.tar.gz"
    run(capsys, "export", "--file", DOWN, "-o", str(path))
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert sorted(names) == ["boot.txt", bundle.HINTS, bundle.JOURNAL, bundle.MANIFEST]


def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(capsys, "export", "--file", DOWN, "-o", str(tmp_path / "no" / "x.tar.gz"))
    assert (code, "cannot write" in text) == (1, True)


@pytest.mark.parametrize(
    ("wish", "at"), [("0", 2), ("-2", 0), ("1", 0), ("3", 2), ("bb", 1), ("C-c", 2)]
)
def test_a_boot_is_chosen_as_by_journalctl(wish: str, at: int) -> None:
    assert boot_source.position(wish, ("aa", "bb", "cc")) == at


def test_a_boot_of_a_log_file_is_named_after_it() -> None:
    assert boot_source.position("n1/a-b.log#1", ("n1/a-b.log#1", "n1/a-b.log#12")) == 0


@pytest.mark.parametrize("wish", ["4", "-3", "", "d"])
def test_no_such_boot(wish: str) -> None:
    with pytest.raises(boot_source.Unknown):
        boot_source.position(wish, ("aa", "bb", "cc"))
