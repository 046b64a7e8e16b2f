# SPDX-License-Identifier: Apache-2.0
"""Plans carried out on disk and taken back: the tree is as it was to the last byte, whatever moment we die in."""

import fcntl
import hashlib
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import unit_trees

from tidegate.actuators import dropins
from tidegate.clients import errors, unitfiles
from tidegate.config.policy import FailPolicy
from tidegate.units import plan, render
from tidegate.units.host import GuardAccess, HostView, Options, Strategy
from tidegate.units.plan import Plan

GATE = render.path("incus.service", "gate")
_WRITES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.truncate"),
    "shutil.rmtree",
}
_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def host_root(packaging: str, root: Path) -> Path:
    """The root of a host with this packaging, Tidegate's units installed and nothing applied."""
    for part in ("base", packaging):
        shutil.copytree(unit_trees.DATA / part, root, symlinks=True, dirs_exist_ok=True)
    for name, text in unit_trees.own_units().items():
        (root / "usr/lib/systemd/system" / name).write_text(text)
    return root


def state(root: Path) -> str:
    """A hash of all there is below ``root``: names, kinds, modes, texts, targets."""
    sums = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        text = str(path.readlink()).encode() if path.is_symlink() else b""
        text = path.read_bytes() if path.is_file() and not text else text
        sums.update(repr((str(path.relative_to(root)), mode, text)).encode())
    return sums.hexdigest()


def made(root: Path, **asked: object) -> Plan:
    view = HostView(tree=unitfiles.read(root), controller=unit_trees.ELSEWHERE, storage_pools=())
    return plan.make(view, Options(**asked))  # type: ignore[arg-type]


def apply(root: Path, **asked: object) -> bool:
    return dropins.apply(root, made(root, **asked), Options(**asked))  # type: ignore[arg-type]


def remove(root: Path) -> dropins.Removal:
    return dropins.remove(root, plan.removal(unitfiles.read(root)))


def killed_at(write: int, act: Callable[[], object]) -> bool:
    """Do ``act`` in a process that is killed (kill -9) just before its ``write``-th change of the disk; False when it lived."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if child == 0:
        left = write

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            flags = arguments[2] if event == "open" else 0
            if event in _WRITES or (isinstance(flags, int) and flags & _FOR_WRITING):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        try:
            sys.addaudithook(hook)
            act()
        except BaseException:  # the child must never come back into the test
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def writes_of(act: Callable[[Path], object], before: Path, folder: Path) -> list[Path]:
    """Copies of the root ``before`` in which ``act`` was killed at its first change, its second, and so on to its last."""
    copies: list[Path] = []
    for write in range(500):
        copy = folder / f"{write}"
        shutil.copytree(before, copy, symlinks=True)

        def once(at: Path = copy) -> object:
            return act(at)

        if not killed_at(write, once):
            return copies
        copies.append(copy)
    raise AssertionError("this never ends")


@pytest.mark.parametrize("packaging", unit_trees.PACKAGINGS)
@pytest.mark.parametrize("strategy", Strategy)
def test_apply_and_remove_leave_the_tree_as_it_was(
    packaging: str, strategy: Strategy, tmp_path: Path
) -> None:
    root = host_root(packaging, tmp_path)
    before = state(root)
    wanted = made(root, strategy=strategy)
    assert apply(root, strategy=strategy)
    for path, text in wanted.drop_ins.items():
        assert (root / path.lstrip("/")).read_text() == text
    applied = state(root)
    assert not apply(root, strategy=strategy)
    assert state(root) == applied
    assert remove(root).left == ()
    assert state(root) == before
    assert remove(root) == dropins.Removal()


def test_the_gate_is_started_with_the_agent_and_the_agent_with_the_boot(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    apply(root)
    wants = root / "etc/systemd/system/tidegate-agent.service.wants/tidegate-ready.service"
    assert str(wants.readlink()) == "/usr/lib/systemd/system/tidegate-ready.service"
    assert (root / "etc/systemd/system/multi-user.target.wants/tidegate-agent.service").is_symlink()


def test_what_was_enabled_before_us_stays_enabled(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    link = root / "etc/systemd/system/multi-user.target.wants/tidegate-agent.service"
    link.symlink_to("/usr/lib/systemd/system/tidegate-agent.service")
    before = state(root)
    apply(root)
    remove(root)
    assert state(root) == before


@pytest.mark.parametrize("has_state", [False, True])
def test_killed_at_every_write_of_apply(has_state: bool, tmp_path: Path) -> None:
    root = host_root("debian", tmp_path / "host")
    if has_state:
        (root / "var/lib/tidegate").mkdir(parents=True)
        (root / "var/lib/tidegate/wanted.json").write_text("{}")
    before = state(root)
    reference = tmp_path / "reference"
    shutil.copytree(root, reference, symlinks=True)
    apply(reference)
    copies = writes_of(apply, root, tmp_path / "killed")
    assert len(copies) > 20
    for copy in copies:
        again = copy.with_name(f"{copy.name}-again")
        shutil.copytree(copy, again, symlinks=True)
        apply(again)
        assert made(again).changes == (), copy.name
        assert drop_ins(again) == drop_ins(reference), copy.name
        remove(again)
        assert state(again) == before, copy.name
        remove(copy)
        assert state(copy) == before, copy.name


def test_killed_at_every_write_of_another_strategy(tmp_path: Path) -> None:
    root = host_root("zabbly", tmp_path / "host")
    before = state(root)
    apply(root)
    copies = writes_of(
        lambda at: apply(at, strategy=Strategy.GUARD, policy=FailPolicy.OPEN),
        root,
        tmp_path / "killed",
    )
    assert len(copies) > 8
    for copy in copies:
        remove(copy)
        assert state(copy) == before, copy.name


GUARDED = {"guard": GuardAccess(controllers=("http://192.0.2.1:3370",)), "timeout": 300.0}


@pytest.mark.parametrize(("first", "then"), [({}, GUARDED), (GUARDED, {})])
def test_killed_at_every_write_of_the_guards_coming_and_going(
    first: dict[str, object], then: dict[str, object], tmp_path: Path
) -> None:
    root = host_root("debian", tmp_path / "host")
    before = state(root)
    apply(root, **first)
    reference = tmp_path / "reference"
    shutil.copytree(root, reference, symlinks=True)
    apply(reference, **then)
    copies = writes_of(lambda at: apply(at, **then), root, tmp_path / "killed")
    assert len(copies) > 12
    for number, copy in enumerate(copies):
        if number % 4 == 0:  # each costs many writes to the disk
            again = copy.with_name(f"{copy.name}-again")
            shutil.copytree(copy, again, symlinks=True)
            apply(again, **then)
            assert links(again) == links(reference), copy.name
            assert drop_ins(again) == drop_ins(reference), copy.name
        remove(copy)
        assert state(copy) == before, copy.name


@pytest.mark.parametrize("has_state", [False, True])
def test_killed_at_every_write_of_remove(has_state: bool, tmp_path: Path) -> None:
    root = host_root("debian", tmp_path / "host")
    if has_state:
        (root / "var/lib/tidegate").mkdir(parents=True)
        (root / "var/lib/tidegate/wanted.json").write_text("{}")
    before = state(root)
    apply(root)
    copies = writes_of(remove, root, tmp_path / "killed")
    assert len(copies) > 8
    for copy in copies:
        remove(copy)
        assert state(copy) == before, copy.name


def links(root: Path) -> set[str]:
    """The links below ``root`` that enable units of ours."""
    folder = root / "etc/systemd/system"
    return {str(path.relative_to(root)) for path in folder.glob("*.wants/tidegate-*")}


def drop_ins(root: Path) -> dict[str, str]:
    """What systemd would read of ours below ``root``."""
    tree = unitfiles.read(root)
    return {path: tree.text(path) or "" for path in tree.entries if render.is_ours(path)}


def test_what_the_agent_kept_meanwhile_stays(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    apply(root)
    kept = root / "var/lib/tidegate/wanted.json"
    kept.write_text("{}")
    remove(root)
    assert kept.read_text() == "{}"
    assert not (root / "var/lib/tidegate/units.json").exists()


def test_a_file_of_somebody_else_under_our_name_is_neither_overwritten_nor_removed(
    tmp_path: Path,
) -> None:
    root = host_root("debian", tmp_path)
    theirs = root / GATE.lstrip("/")
    theirs.parent.mkdir()
    theirs.write_text("[Unit]\nAfter=mine.service\n")
    before = state(root)
    with pytest.raises(errors.ClientError, match="somebody else") as raised:
        apply(root)
    assert raised.value.code == "units.not-ours"
    assert [trouble.code for trouble in remove(root).left] == ["units.not-ours"]
    assert state(root) == before


def test_without_its_record_what_we_wrote_is_known_by_its_first_line(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    apply(root)
    (root / "var/lib/tidegate/units.json").unlink()
    remove(root)
    assert drop_ins(root) == {}


def test_a_record_that_is_no_record_is_named(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    apply(root)
    (root / "var/lib/tidegate/units.json").write_text("{")
    with pytest.raises(errors.ClientError, match=r"units\.json cannot be used"):
        remove(root)


@pytest.mark.parametrize("first", [None, {"strategy": Strategy.GUARD}])
def test_what_fails_halfway_is_taken_back(first: dict[str, object] | None, tmp_path: Path) -> None:
    """A directory lies where a link of ours must go, which is found out when every drop-in is written."""
    root = host_root("debian", tmp_path)
    if first is not None:
        apply(root, **first)
    wanted = made(root, timeout=120.0)
    (root / max(wanted.enable).lstrip("/")).mkdir(parents=True)
    before = state(root)
    with pytest.raises(errors.ClientError, match="cannot make"):
        dropins.apply(root, wanted, Options(timeout=120.0))
    assert state(root) == before


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(errors.ClientError, match="another `tidegate units`"):
            apply(root)
    finally:
        os.close(descriptor)


def test_nothing_outside_of_the_root_is_written_through_a_link(tmp_path: Path) -> None:
    root = host_root("debian", tmp_path / "host")
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "srv/dropins").mkdir(parents=True)
    (root / "etc/systemd/system/incus.service.d").symlink_to("/srv/dropins")
    (root / str(outside).lstrip("/")).mkdir(parents=True)
    (root / "var").symlink_to(outside)
    before = state(root)
    apply(root)
    assert (root / "srv/dropins/60-tidegate-gate.conf").is_file()
    assert list(outside.iterdir()) == []
    remove(root)
    assert state(root) == before
