# SPDX-License-Identifier: Apache-2.0
"""The model does what a real Incus 7.0.2 did in the recorded boots: the same lines, in the same order, at the same times."""

import json
import re
from pathlib import Path

import pytest
from tests import scripted_incus
from tests.recordings import DATA
from tests.scripted_incus import Lab

from tidegate.sim.incus.warnings import AUTOSTART_FAILURE, POOL_UNAVAILABLE
from tidegate.sim.storage import Failed

HTTP_500 = Failed(
    text="Failed to connect to Linstor: Failed to create Linstor client: Message: 'fake failure'",
    unavailable=True,
    took=0.008,
)

# What of a boot the model claims to know, by the beginning of the message.
KNOWN = (
    "Starting up",
    "Initializing storage pools",
    "Initialized storage pool",
    "Failed mounting storage pool",
    "Failed loading storage pool",
    "All storage pools initialized",
    "Starting instance",
    "Started instance",
    "Failed auto start instance attempt",
    "Failed to auto start instance",
    "Daemon started",
)
MASKS = [(re.compile(rf'{key}="[^"]*"'), f"{key}=…") for key in ("time", "created", "used")]
LINE = re.compile(r"\[ *([0-9.]+)\] \S+ incusd\[(\d+)\]: (time=.*)")


def mask(text: str) -> str:
    for pattern, put in MASKS:
        text = pattern.sub(put, text)
    return text


def is_known(text: str) -> bool:
    return any(f'msg="{message}"' in text for message in KNOWN)


def recorded(path: Path) -> list[tuple[float, str]]:
    """Seconds since "Starting up" and masked text of each known line of the daemon."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = LINE.match(line)
        if match and is_known(match[3]):
            found.append((float(match[1]), mask(match[3])))
    assert 'msg="Starting up"' in found[0][1]
    return [(at - found[0][0], text) for at, text in found]


def modelled(lab: Lab) -> list[tuple[float, str]]:
    lines = [line for line in lab.model.journal if line.level != "debug"]
    found = [(line.at, mask(line.text(lab.spec.epoch))) for line in lines]
    known = [(at, text) for at, text in found if is_known(text)]
    return [(at - known[0][0], text) for at, text in known]


def pool_order(lines: list[tuple[float, str]]) -> list[str]:
    """The order in which the first pass took the pools."""
    order: list[str] = []
    for _, text in lines:
        match = re.search(r"storage pool\".* pool=(\w+)", text)
        if match and match[1] not in order:
            order.append(match[1])
    return order


def prepare(scenario: str, lab: Lab) -> None:
    """Inject the scenario's fault, and its end at the recorded moment."""
    match scenario:
        case "s1-offline-25s":
            lab.front.mount = scripted_incus.OFFLINE
            lab.clock.at(25.6, lab.all_well)
        case "s4-devmissing-40s":
            lab.devices_missing()
            lab.clock.at(40.5, lab.all_well)
        case "s6-http500-25s":
            lab.front.mount = HTTP_500
            lab.clock.at(25.2, lab.all_well)
        case _:
            pass


SCENARIOS = ["s0-nominal-verbose", "s1-offline-25s", "s4-devmissing-40s", "s6-http500-25s"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_lines_in_the_same_order_at_the_same_times(scenario: str) -> None:
    real = recorded(DATA / "incus-boots" / f"{scenario}.incus.txt")
    lab = Lab(seed=scripted_incus.seed_for(pool_order(real)))
    prepare(scenario, lab)
    lab.booted(130.0)
    ours = modelled(lab)
    assert [text for _, text in ours] == [text for _, text in real]
    late = [
        (text, mine, at)
        for (mine, text), (at, _) in zip(ours, real, strict=True)
        if abs(mine - at) > 0.5
    ]
    assert late == []


def state(lab: Lab) -> dict[str, object]:
    """What the observer of the recordings wrote down."""
    model = lab.model
    names = sorted(key.name for key in model.world.instances)
    running = lab.running()
    return {
        "inst": [f"{name},{'RUNNING' if name in running else 'STOPPED'}" for name in names],
        "pools": [[name, model.pool_status(name)] for name in ("local", "remote")],
        "warn": sorted(f"{row.type}/{row.status}/{row.last_message}" for row in model.warnings),
        "incus": model.units.service.active,
        "startup": model.units.startup.active,
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_observer_sees_the_same(scenario: str) -> None:
    """The first and the last look of the recording; those between fell into changes under way."""
    text = (DATA / "incus-boots" / f"{scenario}.timeline.jsonl").read_text(encoding="utf-8")
    looks = [row for row in map(json.loads, text.splitlines()) if "inst" in row]
    lab = Lab()
    instances = iter(("c1", "c2", "c3"))
    for entry in looks[0]["warn"]:  # left over from earlier boots
        kind, status, message = entry.split("/", 2)
        if status == "resolved":
            entity = "remote" if kind == POOL_UNAVAILABLE else f"default/{next(instances)}"
            project = "default" if kind == AUTOSTART_FAILURE else ""
            lab.model.warnings.upsert(kind, entity, message, project=project)
            lab.model.warnings.resolve(kind, entity, project=project)
    prepare(scenario, lab)
    lab.model.boot()
    for look in (looks[0], looks[-1]):
        lab.clock.advance(look["t"] + 1.0)
        seen = state(lab)
        real = {key: look[key] for key in seen}
        real["warn"] = sorted(real["warn"])
        assert seen == real, look["t"]
