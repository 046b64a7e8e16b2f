# SPDX-License-Identifier: Apache-2.0
"""What LINSTOR is for a host on which nobody has named a controller."""

from pathlib import Path

import msgspec
import pytest
from tests import health_facts as facts

from tidegate.agent.discovery import endpoints_of, unnamed
from tidegate.clients.errors import ClientError
from tidegate.config.model import LinstorConfig
from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import HostFacts, IncusFacts, IncusPhase, PoolFacts
from tidegate.core.finding import Grade
from tidegate.core.ids import PoolName
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.health.judge import judge

NO_SATELLITE = HostFacts(drbd_module=None, satellite_present=False)
DIRECTORY = {"local": PoolFacts(name=PoolName("local"), driver="dir", status="Created")}


def host(**more: object) -> Snapshot:
    return facts.world(**({"host": NO_SATELLITE, "pools": DIRECTORY} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [Source.HOST, Source.SYSTEMD, Source.INCUS])
def test_nothing_is_concluded_before_everybody_who_could_name_it_was_heard(source: Source) -> None:
    assert unnamed(host(silent=(source,))) is Liveness.NEW


def test_a_host_without_linstor_has_none() -> None:
    assert unnamed(host()) is Liveness.OFF
    assert unnamed(host(off=(Source.INCUS, Source.SYSTEMD))) is Liveness.OFF
    stopped = IncusFacts(phase=IncusPhase.STOPPED)
    assert unnamed(host(incus=stopped, pools=None)) is Liveness.OFF, (
        "Incus installed, and not running"
    )


def test_a_host_with_nothing_to_watch_is_well() -> None:
    """Neither LINSTOR nor Incus: that is no failure of either."""
    nothing = (Source.LINSTOR, Source.INCUS, Source.DRBD, Source.SYSTEMD)
    report = judge(facts.world(host=NO_SATELLITE, off=nothing), HealthPolicy())
    assert report.grade is Grade.OK
    assert report.findings == ()


@pytest.mark.parametrize(
    "sign",
    [
        {"host": HostFacts(drbd_module=None, satellite_present=True)},
        {"pools": facts.healthy_sections()[Source.INCUS]["pools"]},
        {"wanted": facts.kept_map()},
        {"lost": {Source.INCUS: None}, "pools": None},
    ],
    ids=["satellite-installed", "pool-on-linstor", "kept-map", "incus-lost"],
)
def test_where_linstor_is_used_no_controller_is_trouble(sign: dict[str, object]) -> None:
    assert unnamed(host(**sign)) is Liveness.LOST


def test_a_password_from_a_file_is_taken_by_all_who_ask_controllers(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    chosen = LinstorConfig(username="u", password_file=str(tmp_path / "secret"))
    assert endpoints_of(chosen).password == "s3cret"
    with pytest.raises(ClientError):
        endpoints_of(msgspec.structs.replace(chosen, password_file=str(tmp_path / "none")))
