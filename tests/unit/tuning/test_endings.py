# SPDX-License-Identifier: Apache-2.0
from tidegate.tuning import endings
from tidegate.tuning.endings import Line
from tidegate.tuning.facts import Shutdown


def lines(*texts: tuple[float, str]) -> list[Line]:
    return [Line(at=at, text=text) for at, text in texts]


def test_a_shutdown_that_had_to_kill() -> None:
    found = endings.read(
        lines(
            (900.0, "pvc-r0: Connected"),
            (1000.0, "System is rebooting."),
            (1330.0, "incus.service: State 'stop-sigterm' timed out. Killing."),
            (
                1331.0,
                'level=error msg="Timed out stopping instance, forcefully stopping it" instance=c1 project=default',
            ),
            (1335.5, "Journal stopped"),
        )
    )
    assert found == Shutdown(took=335.5, forced=("incus.service", "instance c1"))


def test_a_clean_one_and_none_at_all() -> None:
    assert endings.read(lines((5.0, "The system will reboot now!"), (17.0, "x"))) == Shutdown(
        took=12.0
    )
    assert endings.read(lines((5.0, "nothing"), (17.0, "x"))) == Shutdown(took=None)
    assert endings.read([]) is None
