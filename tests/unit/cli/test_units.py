# SPDX-License-Identifier: Apache-2.0
"""``tidegate units`` on roots of hosts, as a person or a program without root sees it."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
from tests import unit_trees
from tests.recordings import DATA

from tidegate.cli import main
from tidegate.cli import units as units_command
from tidegate.config.model import Config
from tidegate.config.policy import FailPolicy, GatePolicy

OK, REFUSED, USAGE, PENDING, UNKNOWN = 0, 1, 2, 4, 5
GATE = "etc/systemd/system/incus.service.d/60-tidegate-gate.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with Debian's packages and Tidegate's units."""
    return made(tmp_path, "debian")


def made(root: Path, packaging: str, *, installed: bool = True) -> Path:
    for part in ("base", packaging):
        shutil.copytree(unit_trees.DATA / part, root, symlinks=True, dirs_exist_ok=True)
    for name, text in unit_trees.own_units().items() if installed else ():
        (root / "usr/lib/systemd/system" / name).write_text(text)
    return root


def units(root: Path, *words: str) -> int:
    return main.main(["units", *words, "--root", str(root)])


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_plan_apply_plan_remove_plan(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(root)
    assert units(root, "plan") == PENDING
    shown = capsys.readouterr().out
    assert "strategy: gate\n" in shown
    assert f"+++ /{GATE}\n" in shown
    assert "+After=tidegate-ready.service\n" in shown
    assert "units.satellite-not-restarted" in shown
    assert files(root) == before

    assert units(root, "apply", "--dry-run") == PENDING
    assert files(root) == before
    capsys.readouterr()
    assert units(root, "apply") == OK
    told = capsys.readouterr().out
    assert f"written: /{GATE}\n" in told
    assert "systemd has read" not in told
    assert (root / GATE).exists()

    assert units(root, "plan") == OK
    assert "nothing to do" in capsys.readouterr().out
    assert units(root, "apply") == OK
    assert "nothing to do" in capsys.readouterr().out

    assert units(root, "remove") == OK
    assert f"removed: /{GATE}\n" in capsys.readouterr().out
    assert files(root) == before
    assert units(root, "remove") == OK
    assert "nothing of ours" in capsys.readouterr().out


def test_what_was_asked_for_is_planned(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--policy", "fail-closed", "--timeout", "2min", "--controller", "other-host")
    assert units(root, "plan", *words) == PENDING
    shown = capsys.readouterr().out
    assert "TIDEGATE_GATE_LIMIT=120\n" in shown
    assert "TIDEGATE_GATE_POLICY=fail-closed\n" in shown
    assert units(root, "plan", "--strategy", "guard") == PENDING
    assert "strategy: guard\n" in capsys.readouterr().out


def test_a_controller_in_an_instance_refuses_the_gate_and_offers_the_guard(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--controller", "instance-here")
    assert units(root, "apply", "--strategy", "gate", *where) == REFUSED
    shown = capsys.readouterr().out
    assert "units.deadlock" in shown
    assert "what works here:\n  - `--strategy guard`" in shown
    assert not (root / GATE).exists()
    assert units(root, "plan", *where) == PENDING
    assert "strategy: guard\n" in capsys.readouterr().out


def test_an_unknown_packaging_is_refused_with_a_clear_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made(tmp_path, "unknown")
    before = files(root)
    for verb in ("plan", "apply"):
        assert units(root, verb) == REFUSED
        shown = capsys.readouterr().out
        assert "this packaging of Incus is not known" in " ".join(shown.split())
        assert "units.unknown-packaging" in shown
    assert files(root) == before


def test_a_host_without_our_units_is_told_to_install_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert units(made(tmp_path, "debian", installed=False), "apply") == REFUSED
    assert "tidegate-ready.service is not installed" in capsys.readouterr().out


def test_for_programs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert units(root, "plan", "--format", "json") == PENDING
    plan = json.loads(capsys.readouterr().out)
    assert plan["strategy"] == "gate"
    assert plan["pending"] is True
    assert f"/{GATE}" in plan["drop_ins"]
    assert any(f"+++ /{GATE}" in change["difference"] for change in plan["changes"])
    assert units(root, "apply", "--format", "json") == OK
    assert json.loads(capsys.readouterr().out)["applied"] is True
    assert units(root, "remove", "--format", "json") == OK
    assert f"/{GATE}" in json.loads(capsys.readouterr().out)["removed"]


def test_a_file_of_somebody_else_is_named_and_stays(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / GATE).parent.mkdir()
    (root / GATE).write_text("[Unit]\n")
    assert units(root, "apply") == REFUSED
    assert f"/{GATE}" in capsys.readouterr().err
    assert units(root, "remove") == REFUSED
    assert "left where it is" in capsys.readouterr().err
    assert (root / GATE).read_text() == "[Unit]\n"


def test_a_root_that_is_none_is_a_mistake_of_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert units(tmp_path / "none", "plan") == USAGE
    assert "is not a directory" in capsys.readouterr().err


def test_what_unit_files_hold_does_not_reach_the_terminal_as_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "etc/systemd/system/incus.service.d"
    folder.mkdir()
    (folder / "60-tidegate-old.conf").write_text("# \x1b[2Jhello\n")
    assert units(root, "plan") == PENDING
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2Jhello" in shown


def test_verify_names_what_is_not_as_it_was_applied(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> str:
        assert units(root, "verify") == REFUSED
        return " ".join(capsys.readouterr().out.split())

    assert "units.not-applied" in failing()
    units(root, "apply", "--timeout", "2min", "--controller", "other-host")
    capsys.readouterr()
    assert units(root, "verify") == OK
    assert "systemd was not asked" in capsys.readouterr().out

    with (root / GATE).open("a") as stream:
        stream.write("# mine\n")
    assert f"/{GATE} was changed since it was written" in failing()
    (root / GATE).unlink()
    assert f"/{GATE} is not there any more (units.drift)" in failing()
    link = root / "etc/systemd/system/tidegate-agent.service.wants/tidegate-ready.service"
    link.unlink()
    assert "the unit is not enabled (units.drift)" in failing()
    units(root, "apply", "--timeout", "2min", "--controller", "other-host")
    capsys.readouterr()
    assert units(root, "verify") == OK


def test_verify_sees_a_package_upgrade_that_asks_for_another_plan(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units(root, "apply")
    startup = root / "usr/lib/systemd/system/incus-startup.service"
    startup.write_text(startup.read_text().replace("TimeoutStartSec=600s", "TimeoutStartSec=700s"))
    capsys.readouterr()
    assert units(root, "verify", "--format", "json") == REFUSED
    (trouble,) = json.loads(capsys.readouterr().out)["troubles"]
    assert trouble["code"] == "units.plan-changed"
    assert "60-tidegate-startup.conf would be another today" in trouble["text"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_root_a_tree_of_root_is_refused_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root.chmod(0o555)
    assert units(root, "apply") == REFUSED
    assert "run as root" in capsys.readouterr().err
    root.chmod(0o755)


def test_what_is_not_said_is_taken_from_the_configuration(root: Path) -> None:
    """Else `units apply` would put five minutes, fail-open, over what tidegate.toml says."""
    config = Config(gate=GatePolicy(limit=90.0, policy=FailPolicy.CLOSED))

    def asked(*words: str) -> tuple[float, FailPolicy]:
        chosen = units_command.build_parser().parse_args(["plan", *words])
        options = units_command._asked(chosen, root, config)
        return options.timeout, options.policy

    assert asked() == (90.0, FailPolicy.CLOSED)
    assert asked("--timeout", "2min", "--policy", "fail-open") == (120.0, FailPolicy.OPEN)


def test_what_is_not_said_stays_as_it_was_applied(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`units apply` after an upgrade must not turn the strategy round."""
    words = ("--strategy", "order", "--timeout", "2min", "--controller", "other-host")
    assert units(root, "apply", *words) == OK
    assert units(root, "plan") == OK
    assert "strategy: order" in capsys.readouterr().out
    assert units(root, "apply") == OK
    assert "nothing to do" in capsys.readouterr().out
    assert units(root, "plan", "--controller", "auto") == REFUSED
    assert "units.order-unproven" in capsys.readouterr().out
    assert units(root, "plan", "--strategy", "auto") == PENDING
    assert "strategy: gate" in capsys.readouterr().out


def test_check_tells_the_order_that_was_not_kept_and_exits_by_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = root / "boot.json"
    packed = DATA / "real-boots/r-crash.boot.json.gz"
    journal.write_bytes(gzip.decompress(packed.read_bytes()))
    words = ("check", "--journal", str(journal))
    assert units(root, *words) == REFUSED
    shown = capsys.readouterr().out
    assert "39.312 s" in shown
    assert "(units.started-unordered)" in shown
    assert units(root, *words, "--format", "json") == REFUSED
    told = json.loads(capsys.readouterr().out)
    (inversion,) = told["inversions"]
    assert (inversion["began"], inversion["over"]) == (3.638601, 39.312349)
    assert (inversion["cause"], told["grade"]) == ("no-order", "failing")
    assert told["starts"][0]["begun"] < told["starts"][-1]["begun"]

    folder = root / "etc/systemd/system/linstor-satellite.service.d"
    folder.mkdir()
    (folder / "o.conf").write_text("[Unit]\nBefore=incus.service\n[Service]\nType=notify\n")
    packed = DATA / "real-boots/r-notify-order.boot.json.gz"
    journal.write_bytes(gzip.decompress(packed.read_bytes()))
    assert units(root, *words) == OK
    assert "every order was kept" in capsys.readouterr().out
    assert units(root, "check", "--journal", str(packed)) == OK
    assert "ready at 38.223 s" in capsys.readouterr().out
    for nothing in ("", "a log\n", "{}\n"):
        journal.write_text(nothing)
        assert units(root, *words) == UNKNOWN
        assert "(units.journal-unfit)" in capsys.readouterr().err
    assert units(root, "check", "--journal", str(root / "none")) == REFUSED
    assert "none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("check", "--boot", "1"), ("check", "-b", "x"), ("plan", "--boot", "0")]
)
def test_a_boot_that_is_none_is_a_mistake_of_use(root: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        units(root, *words)
    assert ended.value.code == USAGE


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["units", "--help"])
    assert "4 changes are pending" in capsys.readouterr().out
