# SPDX-License-Identifier: Apache-2.0
"""What recovery remembers survives our death, not the boot."""

from pathlib import Path

import msgspec
import pytest

from tidegate.agent.memory import Memory
from tidegate.clients.errors import ClientError
from tidegate.core.action import StartInstance
from tidegate.core.ids import BootId, InstanceId, InstanceName, ProjectName
from tidegate.core.trouble import Trouble
from tidegate.recovery.state import RecoveryState

BOOT = BootId("boot-a")
C1 = InstanceId(ProjectName("default"), InstanceName("c1"))
START = StartInstance(id="1", cause="", instance=C1)


def state() -> RecoveryState:
    return RecoveryState(
        boot_id=BOOT,
        counter=3,
        in_flight={"instance/default/c1": START},
        attempts={"default/c2": 2},
        sentence="starts default/c1",
    )


def test_the_next_agent_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    Memory(tmp_path).save(state())
    resumed, trouble = Memory(tmp_path).load(BOOT, 40.0)
    assert trouble is None
    assert (resumed.counter, resumed.attempts) == (3, {"default/c2": 2})
    assert resumed.in_flight == {}
    assert resumed.failed == {"default/c1": 40.0}, "what became of it is not known"


def test_what_another_boot_left_is_worth_nothing(tmp_path: Path) -> None:
    Memory(tmp_path).save(state())
    assert Memory(tmp_path).load(BootId("boot-b"), 1.0) == (
        RecoveryState(boot_id=BootId("boot-b")),
        None,
    )


def test_no_file_is_no_trouble(tmp_path: Path) -> None:
    assert Memory(tmp_path).load(BOOT, 1.0) == (RecoveryState(boot_id=BOOT), None)


@pytest.mark.parametrize("text", ["", "{", '{"counter": "three"}'])
def test_a_damaged_file_is_said_and_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "recovery.json").write_text(text)
    resumed, trouble = Memory(tmp_path).load(BOOT, 1.0)
    assert resumed == RecoveryState(boot_id=BOOT)
    assert trouble is not None
    assert str(tmp_path / "recovery.json") in trouble.text
    assert (tmp_path / "recovery.json.set-aside").read_text() == text
    Memory(tmp_path).save(state())
    assert Memory(tmp_path).load(BOOT, 1.0)[1] is None


def test_only_what_counts_is_written(tmp_path: Path) -> None:
    memory, file = Memory(tmp_path), tmp_path / "recovery.json"
    memory.save(state())
    first = file.stat().st_ino
    memory.save(msgspec.structs.replace(state(), sentence="waits", ready=frozenset("x")))
    assert file.stat().st_ino == first
    memory.save(msgspec.structs.replace(state(), counter=4))
    assert file.stat().st_ino != first


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="missing"):
        Memory(tmp_path / "missing").save(state())


def test_what_cannot_be_written_anew_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: better no memory than one that tells of a start that ended since."""
    memory = Memory(tmp_path)
    memory.save(state())

    def full(*_: object, **__: object) -> None:
        raise ClientError(Trouble(code="files.full", text="No space left on device"))

    with monkeypatch.context() as patched:
        patched.setattr("tidegate.clients.files.write", full)
        with pytest.raises(ClientError):
            memory.save(msgspec.structs.replace(state(), counter=4))
    assert Memory(tmp_path).load(BOOT, 1.0) == (RecoveryState(boot_id=BOOT), None)
    memory.save(state())
    assert (tmp_path / "recovery.json").exists()
