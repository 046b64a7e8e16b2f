# SPDX-License-Identifier: Apache-2.0
"""The lab's cache keys: they change with contents, names and modes, and with nothing else."""

from pathlib import Path

from tests.lab import golden


def test_a_key_follows_what_is_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    before = golden.key_of(tmp_path)
    assert golden.key_of(tmp_path) == before
    (tmp_path / "a").write_text("two")
    changed = golden.key_of(tmp_path)
    assert changed != before
    (tmp_path / "a").chmod(0o755)
    assert golden.key_of(tmp_path) != changed


def test_compiled_files_do_not_change_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("pass")
    before = golden.key_of(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert golden.key_of(tmp_path) == before


def test_strings_do_not_run_into_each_other() -> None:
    assert golden.key_of("ab", "c") != golden.key_of("a", "bc")
