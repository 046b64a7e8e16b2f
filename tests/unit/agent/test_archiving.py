# SPDX-License-Identifier: Apache-2.0
"""When an archive is made, and what is said where none can be; with a real JVM: tests/contract/test_tune_java.py."""

from pathlib import Path

import pytest
from tests.tuned_hosts import TunedHost
from tests.weak_hosts import UNIT

from tidegate.agent import archiving, tunecommands, tuneservice
from tidegate.config.model import AgentConfig, Config, HostConfig
from tidegate.core.trouble import Trouble
from tidegate.tuning import archive


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TunedHost:
    return TunedHost(tmp_path, monkeypatch)


def config(host: TunedHost) -> Config:
    return Config(
        host=HostConfig(root=str(host.root)), agent=AgentConfig(state_dir=str(host.state))
    )


async def test_it_waits_until_the_host_is_calm(
    host: TunedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = ["this host has just booted", "r0 is being resynchronised", ""]
    asked: list[str] = []

    async def why_not(_config: Config) -> str:
        asked.append(reasons[len(asked)])
        return asked[-1]

    monkeypatch.setattr(tunecommands, "why_not", why_not)
    monkeypatch.setattr(archiving, "LOOK_EVERY", 0.0)
    await archiving.make_when_calm(config(host))
    assert asked == reasons


async def test_a_script_that_is_not_here_is_said(host: TunedHost) -> None:
    found = await archiving.make(config(host))
    assert isinstance(found, Trouble)
    assert "tidegate tune revert class-archive" in found.hint


@pytest.mark.parametrize(
    ("text", "obstacle"),
    [
        ("[Service]\nExecStart=/usr/bin/podman run x\n", "podman"),
        ("[Service]\nType=oneshot\nExecStart=/a\nExecStart=/b\n", "has not one plain ExecStart="),
        ("[Service]\nExecStart=java -jar /x.jar\n", "has not one plain ExecStart="),
    ],
)
def test_a_satellite_that_is_started_otherwise_is_left_alone(
    host: TunedHost, text: str, obstacle: str
) -> None:
    host.write(f"usr/lib/systemd/system/{UNIT}", text)
    found = archiving.look(host.root, tuneservice.units(host.root), config(host))
    assert obstacle in found.obstacle


def test_without_its_unit_none_would_ever_be_made(host: TunedHost) -> None:
    (host.root / "usr/local/lib/systemd/system/tidegate-archive.service").unlink()
    found = archiving.look(host.root, tuneservice.units(host.root), config(host))
    assert found.obstacle == "tidegate-archive.service is not installed"


def test_a_jvm_whose_launcher_stays_the_same_is_another_one_all_the_same(host: TunedHost) -> None:
    """Its library decides whether it takes an archive; the launcher on the path may be the same, byte for byte."""
    host.write("jvm/bin/java", "#!/bin/sh\n", 0o755)
    host.write("jvm/lib/server/libjvm.so", "x")
    host.link("usr/bin/java", "../../jvm/bin/java")
    script = archive.Script(path="/s", class_path=("/l/a.jar",), main="a.B")
    found = archiving.sources(script, str(host.root / "usr/bin/java"), host.state)
    assert str(host.root / "jvm/lib/server/libjvm.so") in found
    assert str(host.root / "usr/bin/java") in found
