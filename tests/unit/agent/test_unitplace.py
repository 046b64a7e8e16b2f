# SPDX-License-Identifier: Apache-2.0
"""Where the controller runs, from what a host knows itself; what it cannot know it says, with the reason."""

from pathlib import Path

import msgspec
import pytest
from tests import unit_trees

from tidegate.agent import unitplace
from tidegate.agent.unitplace import Lease, Local, Told
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.core.ids import InstanceId, InstanceName, NodeName, PoolName, ProjectName
from tidegate.core.wanted import WantedInstance, WantedMap, WantedPool
from tidegate.units.deadlock import BroughtUpBy, Controller, Place
from tidegate.units.tree import Index

MAC = "00:16:3e:aa:bb:cc"
CTL = wire.Instance(
    name="ctl",
    expanded_config={"volatile.eth0.hwaddr": MAC},
    expanded_devices={"root": {"type": "disk", "path": "/", "pool": "local"}},
)
IN_CTL = Controller(place=Place.INSTANCE_HERE, instance="default/ctl")
OTHER = "52:54:00:00:00:01"


def told(*instances: wire.Instance, clustered: bool = False) -> Told:
    pools = (
        PoolAnswer(name="remote", pool=wire.Pool(name="remote", driver="linstor")),
        PoolAnswer(name="local", pool=wire.Pool(name="local", driver="dir")),
    )
    environment = wire.Environment(server_name="n1", server_clustered=clustered)
    return Told(server=wire.Server(environment=environment), pools=pools, instances=instances)


def seen(url: str, local: Local | None = None, *instances: wire.Instance) -> Controller:
    index = Index(unit_trees.host_tree("debian"))
    said = told(*(instances or (CTL,)))
    return unitplace.controller(index, (url,), local or Local(), said)


@pytest.mark.parametrize(
    ("url", "address"),
    [("http://192.0.2.7:3370", "192.0.2.7"), ("https://[2001:db8::7]:3371", "2001:db8::7")],
)
def test_a_neighbour_is_an_instance_or_another_host(url: str, address: str) -> None:
    assert seen(url, Local(neighbours={address: OTHER})).place is Place.OTHER_HOST
    assert seen(url, Local(neighbours={address: MAC})) == IN_CTL


def test_an_instance_is_known_by_name_and_by_a_fixed_address() -> None:
    assert seen("http://ctl.incus:3370") == IN_CTL
    card = {"eth0": {"type": "nic", "ipv4.address": "192.0.2.9", "ipv6.address": "2001:DB8::9"}}
    fixed = wire.Instance(name="c9", expanded_devices=card)
    assert seen("http://192.0.2.9:3370", None, fixed).instance == "default/c9"
    assert seen("http://[2001:db8:0::9]:3370", None, fixed).instance == "default/c9"


def test_an_instance_is_known_by_the_lease_it_has() -> None:
    of_mac = Lease(address="10.0.3.5", mac=MAC, name="whatever")
    of_name = Lease(address="fd42::5", mac="", name="ctl")
    local = Local(leases=(of_mac, of_name))
    assert seen("http://10.0.3.5:3370", local) == IN_CTL
    assert seen("http://[fd42::5]:3370", local) == IN_CTL
    stranger = Local(leases=(msgspec.structs.replace(of_mac, mac=OTHER, name="ctl"),))
    assert seen("http://10.0.3.5:3370", stranger).place is Place.UNKNOWN


def test_an_ipv6_address_made_from_a_card_is_that_cards() -> None:
    assert seen("http://[fd42:1::216:3eff:feaa:bbcc]:3370") == IN_CTL
    assert seen("http://[fd42:1::216:3eff:feaa:bbcd]:3370").place is Place.UNKNOWN


def test_a_name_is_looked_up_in_the_hosts_file_and_never_in_dns() -> None:
    local = Local(neighbours={"192.0.2.7": OTHER}, names={"linstor.example": ("192.0.2.7",)})
    assert seen("http://LINSTOR.example:3370", local).place is Place.OTHER_HOST
    unknown = seen("http://linstor.example:3370")
    assert unknown.place is Place.UNKNOWN
    assert "DNS is not asked" in unknown.because


def test_an_address_of_this_host_that_an_instance_listens_at_is_that_instance() -> None:
    proxy = {"type": "proxy", "listen": "tcp:0.0.0.0:3370", "connect": "tcp:127.0.0.1:3370"}
    behind = wire.Instance(name="ctl", expanded_devices={"p": proxy})
    local = Local(own=frozenset({"192.0.2.1"}))
    assert seen("http://192.0.2.1:3370", local, behind).instance == "default/ctl"
    assert seen("http://127.0.0.1:3370", local, behind).instance == "default/ctl"
    inside = wire.Instance(name="ctl", expanded_devices={"p": {**proxy, "bind": "instance"}})
    nobody = seen("http://192.0.2.1:3370", local, inside)
    assert nobody.place is Place.UNKNOWN
    assert "this host's own" in nobody.because


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("http://192.0.2.7:3370", "no neighbour of this host's"),
        ("http://[2001:db8::1]:3370", "no neighbour of this host's"),
        ("http://[::1]:3370", "this host's own"),
    ],
)
def test_what_cannot_be_seen_is_unknown_and_says_why(url: str, because: str) -> None:
    found = seen(url)
    assert found.place is Place.UNKNOWN
    assert because in found.because


def test_without_incus_or_an_address_nothing_is_known() -> None:
    index = Index(unit_trees.host_tree("debian"))
    quiet = unitplace.controller(index, ("http://192.0.2.7:3370",), Local(), None)
    assert "Incus does not run" in quiet.because
    assert "no controller" in unitplace.controller(index, (), Local(), told()).because


def test_an_instance_of_another_member_may_come_here_when_it_lies_on_linstor() -> None:
    index = Index(unit_trees.host_tree("debian"))
    for pool, place in (("remote", Place.INSTANCE_HERE), ("local", Place.INSTANCE_ELSEWHERE)):
        disk = {"root": {"type": "disk", "path": "/", "pool": pool}}
        there = msgspec.structs.replace(CTL, location="n2", expanded_devices=disk)
        said = told(there, clustered=True)
        found = unitplace.controller(index, ("http://ctl:3370",), Local(), said)
        assert found.place is place


@pytest.mark.parametrize(("reactor", "by"), [(True, "system"), (False, "unknown")])
def test_a_controller_of_this_host_with_its_database_on_drbd(*, reactor: bool, by: str) -> None:
    etc = unit_trees.ETC
    files = {
        f"{etc}/linstor-controller.service": "[Service]\nExecStart=/usr/bin/Controller\n",
        f"{etc}/var-lib-linstor.mount": "[Mount]\nWhat=/dev/drbd1000\nWhere=/var/lib/linstor\n",
    }
    if reactor:
        files[f"{etc}/drbd-reactor.service"] = "[Service]\nExecStart=/usr/sbin/drbd-reactor\n"
        files[f"{etc}/multi-user.target.wants/drbd-reactor.service"] = "-> ../drbd-reactor.service"
    index = Index(unit_trees.host_tree("debian", files))
    assert unitplace.controller(index, (), Local(), None) == Controller(
        place=Place.THIS_HOST, database_on_drbd=True, brought_up_by=BroughtUpBy(by)
    )


CONTROLLER = {f"{unit_trees.ETC}/linstor-controller.service": "[Service]\nExecStart=/usr/bin/C\n"}
WANTS = f"{unit_trees.ETC}/multi-user.target.wants"
ENABLED = {f"{WANTS}/linstor-controller.service": "-> ../linstor-controller.service"}


def index_of(*files: dict[str, str]) -> Index:
    return Index(unit_trees.host_tree("debian", {k: v for one in files for k, v in one.items()}))


def test_a_controllers_unit_that_nothing_starts_hides_no_instance() -> None:
    """LINBIT's packages are often installed on every node, the controller's unit disabled."""
    local = Local(neighbours={"192.0.2.7": MAC, "192.0.2.8": OTHER}, own=frozenset({"192.0.2.1"}))

    def found(url: str, *files: dict[str, str]) -> Controller:
        urls = tuple(f"http://{host}:3370" for host in url.split(","))
        return unitplace.controller(index_of(CONTROLLER, *files), urls, local, told(CTL))

    assert found("192.0.2.7") == found("192.0.2.7", ENABLED) == IN_CTL
    assert found("192.0.2.8").place is Place.OTHER_HOST
    assert found("192.0.2.1").place is Place.THIS_HOST
    assert found("192.0.2.8", ENABLED).place is Place.THIS_HOST
    both = msgspec.structs.replace(IN_CTL, others=True)
    assert found("192.0.2.7,192.0.2.8") == found("192.0.2.7,127.0.0.1", ENABLED) == both
    asleep = unitplace.controller(index_of(CONTROLLER), (), Local(), None)
    assert asleep.place is Place.UNKNOWN
    assert "nothing starts it" in asleep.because


def test_what_drbd_reactor_alone_starts_has_its_database_on_drbd() -> None:
    reactor = {
        f"{unit_trees.ETC}/drbd-reactor.service": "[Service]\nExecStart=/usr/sbin/drbd-reactor\n",
        f"{WANTS}/drbd-reactor.service": "-> ../drbd-reactor.service",
    }
    found = unitplace.controller(index_of(CONTROLLER, reactor), (), Local(), None)
    assert (found.place, found.database_on_drbd) == (Place.THIS_HOST, True)
    assert found.brought_up_by is BroughtUpBy.SYSTEM
    by_itself = unitplace.controller(index_of(CONTROLLER, reactor, ENABLED), (), Local(), None)
    assert (by_itself.place, by_itself.database_on_drbd) == (Place.THIS_HOST, False)


@pytest.mark.parametrize(
    "url", ["http://ctl:3370", "http://ctl.incus:3370", "http://10.0.3.5:3370"]
)
def test_while_incus_does_not_run_the_kept_map_and_leases_know_the_instance(url: str) -> None:
    """A boot that hangs is when somebody asks why: Incus does not answer then."""
    kept = WantedMap(
        node=NodeName("n1"),
        pools=(WantedPool(name=PoolName("remote"), resource_group="g", volume_prefix="p"),),
        instances=(
            WantedInstance(
                id=InstanceId(ProjectName("default"), InstanceName("ctl")),
                pools=(PoolName("local"),),
            ),
        ),
    )
    local = Local(leases=(Lease(address="10.0.3.5", mac=MAC, name="ctl"),))
    index = index_of(CONTROLLER, ENABLED)
    assert unitplace.controller(index, (url,), local, None, kept) == IN_CTL
    elsewhere = unitplace.controller(index_of(), ("http://192.0.2.7:3370",), local, None, kept)
    assert elsewhere.place is Place.UNKNOWN
    itself = msgspec.structs.replace(kept.instances[0], pools=(PoolName("remote"),))
    moved = msgspec.structs.replace(kept, instances=(itself,))
    assert unitplace.controller(index, (url,), local, None, moved).instance_on_linstor


def test_the_controllers_are_those_of_incus_else_those_that_were_kept_never_the_guard() -> None:
    key = "storage.linstor.controller_connection"
    kept = WantedMap(node=NodeName("n1"), controllers=("http://192.0.2.8:3370",))
    listed = {key: "http://127.0.0.1:13370,https://192.0.2.7"}
    assert unitplace.urls(kept, listed) == ("https://192.0.2.7:3370",)
    assert unitplace.urls(kept, {}) == ("http://192.0.2.8:3370",)
    assert unitplace.urls(None, {key: "http://127.0.0.1:13370"}) == ()


NEIGH = b"""[{"dst":"192.0.2.1","dev":"eth0","lladdr":"02:FC:00:00:00:05","state":["STALE"]},
{"dst":"fd00::1","dev":"eth0","state":["FAILED"]},{"dst":"FD00:0::2","dev":"eth0","lladdr":"02:fc:00:00:00:06","router":null}]"""
ADDRESS = b"""[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},{},
{"ifname":"eth0","addr_info":[{"family":"inet6","local":"fd00:0::2","scope":"global"}]}]"""


def test_what_ip_says() -> None:
    assert dict(unitplace.neighbours(NEIGH)) == {
        "192.0.2.1": "02:fc:00:00:00:05",
        "fd00::2": "02:fc:00:00:00:06",
    }
    assert list(unitplace.own_addresses(ADDRESS)) == ["127.0.0.1", "fd00::2"]
    for nonsense in (b"", b"{}", b"[1]", b"\xff"):
        assert dict(unitplace.neighbours(nonsense)) == {}
        assert list(unitplace.own_addresses(nonsense)) == []


async def test_the_files_of_another_root(tmp_path: Path) -> None:
    unit_trees.written("debian", tmp_path)
    files = {
        "etc/hosts": "127.0.0.1 localhost\n192.0.2.7 Linstor linstor.example # ours\nnonsense\n",
        "var/lib/incus/networks/incusbr0/dnsmasq.leases": (
            f"1790000000 {MAC} 10.0.3.5 ctl ff:00\nduid 00:01\n1790000000 12345 fd42::5 ctl 00:02\n"
        ),
    }
    for path, text in files.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    local = await unitplace.look(tmp_path)
    assert local.names["linstor"] == local.names["linstor.example"] == ("192.0.2.7",)
    assert local.leases == (
        Lease(address="10.0.3.5", mac=MAC, name="ctl"),
        Lease(address="fd42::5", mac="", name="ctl"),
    )
    assert local.neighbours == {}
