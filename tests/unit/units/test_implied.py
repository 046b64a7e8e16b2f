"""Dependencies that systemd adds by itself, for the types that a Debian system at rest does not show."""

from tidegate.units import implied
from tidegate.units.implied import Kind
from tidegate.units.tree import File, Index, Tree


def of(name: str, text: str) -> set[tuple[Kind, str]]:
    unit = Index(Tree(entries={f"/etc/systemd/system/{name}": File(text)})).unit(name)
    return {(found.kind, found.other) for found in implied.dependencies(unit)}


def test_a_local_mount() -> None:
    found = of("srv.mount", "[Mount]\nWhat=/dev/vg/srv\nWhere=/srv\nType=xfs\n")
    assert {(Kind.BINDS_TO, "dev-vg-srv.device"), (Kind.BEFORE, "local-fs.target")} <= found
    assert (Kind.AFTER, "local-fs-pre.target") in found


def test_a_mount_that_may_fail_is_not_waited_for_by_the_target() -> None:
    found = of("srv.mount", "[Mount]\nWhat=UUID=ab-c\nWhere=/srv\nOptions=nofail\n")
    assert (Kind.BEFORE, "local-fs.target") not in found
    assert (Kind.BINDS_TO, "dev-disk-by\\x2duuid-ab\\x2dc.device") in found


def test_a_network_mount_and_one_that_only_says_so() -> None:
    for text in ("Type=nfs\n", "Options=_netdev\n"):
        found = of("srv.mount", f"[Mount]\nWhat=host:/x\nWhere=/srv\n{text}")
        assert {(Kind.AFTER, "network-online.target"), (Kind.BEFORE, "remote-fs.target")} <= found


def test_a_service_on_the_bus_and_one_without_defaults() -> None:
    assert (Kind.REQUIRES, "dbus.socket") in of(
        "a.service", "[Service]\nBusName=x.y\nExecStart=/x\n"
    )
    bare = of("a.service", "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/x\n")
    assert (Kind.AFTER, "sysinit.target") not in bare
    assert (Kind.CONFLICTS, "shutdown.target") not in bare


def test_a_socket_at_a_path_needs_its_mount_and_comes_before_its_service() -> None:
    found = of("a.socket", "[Socket]\nListenStream=/var/lib/a/socket\nService=b.service\n")
    assert {
        (Kind.MOUNTS, "/var/lib/a/socket"),
        (Kind.BEFORE, "b.service"),
        (Kind.TRIGGERS, "b.service"),
    } <= found


def test_a_timer_of_the_calendar_and_an_automount() -> None:
    assert (Kind.AFTER, "time-sync.target") in of("a.timer", "[Timer]\nOnCalendar=daily\n")
    assert (Kind.BEFORE, "srv.mount") in of("srv.automount", "[Automount]\nWhere=/srv\n")
