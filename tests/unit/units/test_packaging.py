"""Which packaging is recognised, and what is refused."""

import pytest
from tests import unit_trees

from tidegate.units import packaging
from tidegate.units.packaging import IncusPackaging, Packaging, Refusal, SatellitePackaging
from tidegate.units.tree import Index


def of(name: str, files: dict[str, str] | None = None) -> Packaging | Refusal:
    return packaging.recognise(Index(unit_trees.host_tree(name, files)))


@pytest.mark.parametrize(
    ("name", "incus", "satellite", "lxcfs", "socket"),
    [
        ("debian", IncusPackaging.DEBIAN, SatellitePackaging.PACKAGE, "lxcfs.service", True),
        ("ubuntu-ppa", IncusPackaging.DEBIAN, SatellitePackaging.PACKAGE, "lxcfs.service", True),
        ("zabbly", IncusPackaging.ZABBLY, SatellitePackaging.PACKAGE, "incus-lxcfs.service", True),
        ("source", IncusPackaging.SOURCE, SatellitePackaging.SOURCE, "", False),
    ],
)
def test_known_ones(
    name: str, incus: IncusPackaging, satellite: SatellitePackaging, lxcfs: str, *, socket: bool
) -> None:
    assert of(name) == Packaging(
        incus=incus, satellite=satellite, lxcfs=lxcfs, has_socket=socket, has_startup=socket
    )


def refusal(name: str, files: dict[str, str] | None = None) -> tuple[str, str, str]:
    found = of(name, files)
    assert isinstance(found, Refusal)
    return found.trouble.code, found.trouble.text, found.trouble.hint


def test_an_unknown_one_is_refused_with_what_was_seen() -> None:
    code, text, hint = refusal("unknown")
    assert code == "units.unknown-packaging"
    assert "/usr/lib/systemd/system/incus.service runs /usr/bin/incusd" in text
    assert "systemctl cat incus.service" in hint


@pytest.mark.parametrize(
    ("name", "code"),
    [("incus.service", "units.masked"), ("linstor-satellite.service", "units.masked")],
)
def test_a_masked_unit_is_refused_by_name(name: str, code: str) -> None:
    found = refusal("debian", {f"{unit_trees.ETC}/{name}": "-> /dev/null"})
    assert found[0] == code
    assert name in found[1]


def test_a_host_without_incus_is_refused() -> None:
    assert refusal("base")[0] == "units.not-found"


def test_a_drop_in_that_runs_something_else_is_not_the_package_any_more() -> None:
    text = "[Service]\nExecStart=\nExecStart=/usr/bin/wrapper\n"
    files = {f"{unit_trees.ETC}/incus.service.d/x.conf": text}
    assert refusal("debian", files)[0] == "units.unknown-packaging"


def test_a_unit_that_is_linked_from_a_source_tree_is_a_persons() -> None:
    """`systemctl link /opt/src/incus.service`."""
    unit = "[Unit]\nAfter=network-online.target\n[Service]\nExecStart=/opt/go/bin/incusd --group incus-admin\n"
    files = {
        f"{unit_trees.ETC}/incus.service": "-> /opt/src/incus.service",
        "/opt/src/incus.service": unit,
    }
    found = of("debian", files)
    assert isinstance(found, Packaging)
    assert (found.incus, found.satellite) == (IncusPackaging.SOURCE, SatellitePackaging.PACKAGE)
    made = "/nix/store/abc-unit/incus.service"
    managed = {f"{unit_trees.ETC}/incus.service": f"-> {made}", made: unit}
    assert refusal("debian", managed)[0] == "units.unknown-packaging"
