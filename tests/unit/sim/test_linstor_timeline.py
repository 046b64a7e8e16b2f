"""The order in which things happen in a boot, against what a poller saw of a real one (b1, b4)."""

from collections.abc import Iterable
from typing import Any

from tests import linstor_recordings as recorded
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import faults
from tidegate.sim.linstor import world

Volumes = dict[str, tuple[str | None, bool]]
"""By resource/node/volume: device path, and whether the resource has ``state``."""


class Story:
    """What a poller notices of n1, as milestones. The recorder tells at most 13 volumes of one change."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._volumes: Volumes = {}
        self._first: Volumes = {}

    def status(self, text: str) -> None:
        self._tell(text)

    def volumes(self, changed: Volumes) -> None:
        mine = {k: v for k, v in changed.items() if "/n1/" in k}
        self._volumes |= mine
        for key, known in mine.items():
            self._first.setdefault(key, known)
        with_state = [state for _, state in self._volumes.values()]
        if "OFFLINE" in self.told or not all(with_state):
            self._tell(
                "state of all"
                if all(with_state)
                else "state of some"
                if any(with_state)
                else "no state"
            )
        paths = {k: path for k, (path, _) in self._volumes.items()}
        old = {k: path for k, (path, _) in self._first.items()}
        if all(path is None for path in paths.values()):
            self._tell("paths gone")
        elif None not in paths.values() and ("paths gone" in self.told or paths != old):
            self._tell("paths anew")

    def _tell(self, text: str) -> None:
        if text not in self.told[-1:] and not (text in self.told and text != "ONLINE"):
            self.told.append(text)


def recorded_story(case: str) -> list[str]:
    story = Story()
    for event in recorded.timeline(case):
        if event["event"] == "node" and event["node"] == "n1":
            story.status(event["connection_status"])
        elif event["event"] == "view/resources changed":
            story.volumes(
                {
                    key: (value["device_path"], value["rsc_state"] != "null")
                    for key, value in event["changed"].items()
                }
            )
    return story.told


def _volumes(shown: Iterable[Any]) -> Volumes:
    return {
        f"{r['name']}/{r['node_name']}/{v['volume_number']}": (v.get("device_path"), "state" in r)
        for r in shown
        for v in r["volumes"]
    }


def model_story(one: world.LinstorWorld, end: float) -> list[str]:
    story, last = Story(), ""
    while one.now < end:
        now = worlds.status(one)
        if now != last:
            story.status(now)
            last = now
        story.volumes(_volumes(worlds.get(one, "/v1/view/resources")))
        worlds.advance(one, one.now + 0.05)
    return story.told


def test_a_power_cycle_with_the_controller_up_tells_the_recorded_story() -> None:
    one = worlds.build(made=worlds.layout(plain=True), timings=faults.TYPICAL)
    worlds.advance(one, 60)
    one.power_off()
    one.boot()
    real = recorded_story("b1_satellite_boot_controller_up")
    assert real == [
        "ONLINE",
        "no state",
        "OFFLINE",
        "CONNECTED",
        "ONLINE",
        "state of some",
        "state of all",
        "paths anew",
    ]
    model = model_story(one, one.now + 60)
    assert sorted(model) == sorted(real)
    order = ["OFFLINE", "CONNECTED", "state of some", "state of all", "paths anew"]
    assert [m for m in model if m in order] == order
    assert model.index("state of some") > len(model) - 1 - model[::-1].index("ONLINE")


def test_a_controller_restart_tells_the_recorded_story() -> None:
    fault = Fault(kind=FaultKind.CONTROLLER_REFUSES, start=60, end=61, restarts=True)
    one = worlds.build(fault, made=worlds.layout(), timings=faults.TYPICAL)
    worlds.advance(one, 59)
    real = recorded_story("b4_controller_restart_satellites_up")
    model = model_story(one, 120)
    for story in (real, model):
        kept = [
            m for m in story if m in ("ONLINE", "OFFLINE", "CONNECTED", "paths gone", "paths anew")
        ]
        assert kept == ["ONLINE", "OFFLINE", "paths gone", "CONNECTED", "ONLINE", "paths anew"]
