# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune`` on hosts that each have one weakness built in: advice, apply, boot, result, revert, as a person types them."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tuned_hosts import SCRIPT, TunedHost, advised, figures
from tests.weak_hosts import UNIT, WEAK

from tidegate.agent import tunecommands
from tidegate.tuning import figure

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TunedHost:
    return TunedHost(tmp_path, monkeypatch)


NO_INCUS = {"autostart-delay", "autostart-priority", "slow-shutdown"}
"""What only a real Incus or a real journal can say: the lab's machines have them."""
HERE = sorted(WEAK.keys() - NO_INCUS)
OURS = {
    "jvm-flags",
    "devices-first",
    "boot-weight",
    "network-online",
    "controller-jvm",
    "jvm-heap",
    "satellite-restart",
    "file-limit",
}


@pytest.fixture
def controller() -> Iterator[str]:
    """One that knows this host's resources, and an image that a crash left half unpacked; returns its URL."""
    names = [{"name": f"r{number}"} for number in range(4)]
    known = [*names, {"name": "img", "props": {"Aux/Incus/unpacking": "true"}}]

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(known).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def enable_devices_first(host: TunedHost) -> None:
    """Enabled, and no quicker by it."""
    host.early_too = True
    wants = "etc/systemd/system/linstor-satellite.service.wants/tidegate-devices.service"
    host.link(wants, "/usr/local/lib/systemd/system/tidegate-devices.service")


def test_a_healthy_host_gets_no_advice_and_sees_what_was_looked_at(
    host: TunedHost, capsys: Capture
) -> None:
    host.boot(5)
    assert host.tune() == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "nothing to advise: no known change would make this host's boots shorter"
    )
    assert "from there until its port is open: 0.9 s  [recorded: median of 5 boots]" in text
    assert "`lvs GROUP…`, 4 lines: " in text
    assert "not worth replacing the satellite's start command" in text


@pytest.mark.parametrize("name", HERE)
def test_the_right_advice_comes_first_and_every_figure_has_a_source(
    host: TunedHost, capsys: Capture, controller: str, name: str
) -> None:
    host.weaken(name)
    if name == "orphans":
        enable_devices_first(host)  # or that would be the first advice
    host.boot(5)
    folders = [
        str(host.root / folder) for folder in (WEAK[name].slow_disk.lstrip("/"), "var/quick")
    ]
    words = [f"--controller={controller}"]
    words += [f"--write-test={one}" for one in folders] if WEAK[name].slow_disk else []
    assert host.tune("--format", "json", *words) == 4
    text = capsys.readouterr().out
    assert advised(text) == [name], text
    for shown, source in figures(json.loads(text)):
        assert source.startswith(figure.PREFIXES), (shown, source)
        if source.startswith("estimate"):
            assert re.search(r"\d", source), source
    assert host.tune(*words) == 4
    assert "do it   tidegate tune apply" in (page := capsys.readouterr().out) or "by hand" in page


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_is_ours_to_change_is_taken_back_to_the_byte(
    host: TunedHost, capsys: Capture, name: str
) -> None:
    host.weaken(name)
    install_units(host)
    host.boot(3)
    before = host.tree()
    assert host.tune("apply", name) == 0, capsys.readouterr()
    assert "written: " in capsys.readouterr().out
    assert host.tree() != before
    assert host.tune("--format", "json") in {0, 4}
    assert name not in advised(capsys.readouterr().out)
    assert host.tune("apply", name) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert host.tune("revert", name) == 0
    now = host.tree()
    assert {
        path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
    } == set()


def install_units(host: TunedHost) -> None:
    """Our own units, where install.sh puts them."""
    packaged = Path(__file__).resolve().parents[2] / "packaging/systemd"
    for path in packaged.iterdir():
        host.write(f"usr/local/lib/systemd/system/{path.name}", path.read_text())


@pytest.mark.parametrize("name", ["jvm-flags", "devices-first", "boot-weight"])
def test_boots_before_and_after_show_the_gain(host: TunedHost, capsys: Capture, name: str) -> None:
    host.weaken(name)
    install_units(host)
    host.boot(4)
    assert host.tune("apply", name) == 0
    assert host.tune("result", name) == 5
    assert "too early to say: no boot since is recorded" in capsys.readouterr().out
    host.boot(1)
    assert host.tune("result", name) == 5
    assert "so far; 2 more boots would tell)" in capsys.readouterr().out
    host.boot(3)
    assert host.tune("result", name) == 0
    text = capsys.readouterr().out
    assert f"{name}: faster (+" in text
    assert "median of 4 recorded boots (" in text
    assert "the whole boot, until the last wanted instance ran:" in text
    assert host.tune() in {0, 4}
    assert f"  {name}, since 2026-" in capsys.readouterr().out
    assert host.tune("revert", name) == 0
    host.boot(4)
    assert host.tune("result", name) == 0
    assert f"{name}: faster (+" in capsys.readouterr().out, (
        "boots after it was taken back do not count"
    )


def test_what_a_person_does_by_hand_is_proven_by_boots_too(
    host: TunedHost, capsys: Capture
) -> None:
    host.weaken("lvm-filter")
    host.base["connect"] = 2.7
    host.boot(3)
    before = host.tree()
    assert host.tune("apply", "lvm-filter") == 1
    assert "tidegate tune apply lvm-filter --by-hand" in capsys.readouterr().err
    assert host.tune("apply", "lvm-filter", "--by-hand") == 0
    assert "noted; make the change now:\n  devices { global_filter" in capsys.readouterr().out
    assert host.tree() == before, "nothing is written but the note"
    assert host.tune("--format", "json") == 4, "it is advised for as long as it is found"
    healthy(host)
    host.base["connect"] = 1.5
    host.boot(3)
    assert host.tune("result", "lvm-filter") == 0
    assert "lvm-filter: faster (+1.2 s gained" in capsys.readouterr().out
    assert host.tune() == 0
    assert "  lvm-filter, by hand, since 2026-" in capsys.readouterr().out
    assert host.tune("revert", "lvm-filter") == 0
    assert host.tune("revert", "lvm-filter") == 1


def healthy(host: TunedHost) -> None:
    host.program("pvdisplay", "echo /dev/sda")


def test_no_filter_is_advised_that_would_hide_a_group(host: TunedHost, capsys: Capture) -> None:
    """A group on a loop device: LVM finds it quicker with the filter, because it does not find it."""
    host.weaken("lvm-filter")
    host.program(
        "pvdisplay", 'case "$*" in *global_filter*) ;; *) sleep 1.2; echo /dev/loop4 ;; esac'
    )
    host.boot(3)
    assert host.tune() == 0
    host.weaken("lvm-filter")
    host.program("lvmconfig", "echo use_devicesfile=0")
    host.program("pvs", 'case "$*" in *global_filter*) ;; *) echo "  other" ;; esac; echo "  vg0"')
    capsys.readouterr()
    assert host.tune() == 0
    assert "groups on zvols, loop or DRBD devices: other" in capsys.readouterr().out


def test_an_archive_counts_from_when_there_was_one(host: TunedHost, capsys: Capture) -> None:
    """The first start after `apply` only notes its classes."""
    host.weaken("class-archive")
    host.boot(3)
    assert host.tune("apply", "class-archive") == 0
    host.base["jvm"] = 21.0  # that costs a little
    host.boot(1)
    capsys.readouterr()
    assert host.tune("result", "class-archive") == 5
    assert "too early to say: no boot since is recorded" in capsys.readouterr().out
    host.write("var/lib/tidegate/archive/since", f"{host.now}\n")
    host.base["jvm"] = 15.0
    host.boot(3)
    assert host.tune("result", "class-archive") == 0
    said = capsys.readouterr().out
    assert "class-archive: faster (+" in said
    assert re.search(r"before +9\.\d s, median of 4 .*\n +after +6\.\d s, median of 3 ", said), said
    assert host.tune("revert", "class-archive") == 0
    assert not (host.state / "archive").exists()
    assert host.tune("result", "class-archive") == 0, "as it was seen, when it is gone"


def test_what_cannot_be_judged_just_now_is_not_called_unadvised(
    host: TunedHost, capsys: Capture
) -> None:
    host.weaken("jvm-flags")
    host.boot(3)
    assert host.tune("apply", "jvm-flags", "--no-measure") == 1
    assert "not all was judged: asked not to" in capsys.readouterr().err
    host.tune("--no-measure")
    text = capsys.readouterr().out
    assert text.startswith("nothing can be advised yet")
    assert "JVM was not found" not in text


def test_what_linstor_does_not_know_any_more_is_named(
    host: TunedHost, capsys: Capture, controller: str
) -> None:
    host.weaken("orphans")
    enable_devices_first(host)
    host.boot(3)
    assert host.tune("--controller", controller) == 4
    text = capsys.readouterr().out
    assert "take down resources that LINSTOR does not know any more  (orphans)" in text
    assert "unknown to LINSTOR: left-1, left-2, left-3" in text
    assert "image volumes left half unpacked by a crash: img" in text
    assert "drbdadm down left-1" in text


def test_no_difference_is_a_result_and_is_said(host: TunedHost, capsys: Capture) -> None:
    host.weaken("jvm-flags")
    host.boot(4)
    assert host.tune("apply", "jvm-flags") == 0
    host.base["jvm"] /= 0.45  # this JVM gains nothing by it
    host.boot(4)
    capsys.readouterr()
    assert host.tune("result", "jvm-flags") == 0
    assert capsys.readouterr().out.startswith("jvm-flags: no difference (")


def test_options_of_two_advices_stand_in_one_place_and_go_one_by_one(host: TunedHost) -> None:
    host.weaken("jvm-flags")
    host.weaken("jvm-heap")
    host.boot(3)
    before = host.tree()
    assert host.tune("apply", "jvm-flags") == 0
    assert host.tune("apply", "jvm-heap") == 0
    place = host.root / f"etc/systemd/system/{UNIT}.d/60-tidegate-tune-jvm-satellite.conf"
    both = '"JAVA_OPTS=-Xmx900G -XX:+IgnoreUnrecognizedVMOptions -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx4000m"'
    assert f"Environment={both}" in place.read_text()
    assert host.tune("revert", "jvm-flags") == 0
    assert "-XX:+UseSerialGC" not in place.read_text()
    assert "-Xmx4000m" in place.read_text()
    assert host.tune("revert", "jvm-heap") == 0
    assert host.tree() == before


def test_what_others_set_is_kept_and_a_later_change_of_theirs_is_told(
    host: TunedHost, capsys: Capture
) -> None:
    host.weaken("jvm-flags")
    theirs = f"etc/systemd/system/{UNIT}.d/override.conf"
    host.write(theirs, '[Service]\nEnvironment="JAVA_OPTS=-Xmx4G"\n')
    host.boot(3)
    assert host.tune("apply", "jvm-flags") == 0
    place = host.root / f"etc/systemd/system/{UNIT}.d/60-tidegate-tune-jvm-satellite.conf"
    assert "JAVA_OPTS=-Xmx4G -XX:+IgnoreUnrecognizedVMOptions" in place.read_text()
    host.write(theirs, '[Service]\nEnvironment="JAVA_OPTS=-Xmx6G"\n')
    host.tune()
    assert (
        "what it was made from has changed since: tidegate tune revert jvm-flags"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "line",
    [r'"JAVA_OPTS=-Dx=\"a b\""', """'JAVA_OPTS=-Dx="a b"'""", r"JAVA_OPTS=-Dx=a\\b"],
)
def test_options_with_quotes_are_not_taken_apart(
    host: TunedHost, capsys: Capture, line: str
) -> None:
    host.weaken("jvm-flags")
    host.write(f"etc/systemd/system/{UNIT}.d/override.conf", f"[Service]\nEnvironment={line}\n")
    host.boot(3)
    assert host.tune() == 4
    assert "there are quotes in it, which are not ours to take apart" in capsys.readouterr().out
    assert host.tune("apply", "jvm-flags") == 1


def test_what_shows_only_in_trouble_says_so(host: TunedHost, capsys: Capture) -> None:
    host.weaken("satellite-restart")
    host.boot(3)
    assert host.tune("apply", "satellite-restart") == 0
    host.boot(3)
    assert host.tune("result", "satellite-restart") == 5
    assert "it shortens only a boot in which it happens" in capsys.readouterr().out


def test_what_shortens_only_boots_after_a_crash_is_compared_over_those(
    host: TunedHost, capsys: Capture
) -> None:
    host.weaken("activity-log")
    host.boot(2)
    host.resync = 50.0
    host.boot(3)
    assert host.tune("apply", "activity-log", "--by-hand") == 0
    host.resync = 0.0
    host.boot(2)
    capsys.readouterr()
    assert host.tune("result", "activity-log") == 5
    said = capsys.readouterr().out
    assert said.startswith("activity-log: too early to say: no boot since is recorded with this")
    host.resync = 10.0
    host.boot(3)
    assert host.tune("result", "activity-log") == 0
    said = capsys.readouterr().out
    assert said.startswith("activity-log: faster (+40.0 s gained"), said
    assert "before  50.0 s, median of 3 recorded boots" in said


def test_a_file_that_wins_over_the_unit_is_left_to_a_person(
    host: TunedHost, capsys: Capture
) -> None:
    host.weaken("jvm-flags")
    text = (host.root / f"usr/lib/systemd/system/{UNIT}").read_text()
    host.write(f"usr/lib/systemd/system/{UNIT}", f"{text}EnvironmentFile=-/etc/default/ls\n")
    host.write("etc/default/ls", "JAVA_OPTS='-Xmx8G'\n")
    host.boot(3)
    assert host.tune() == 4
    assert "in /etc/default/ls, which wins over any unit file" in capsys.readouterr().out
    assert host.tune("apply", "jvm-flags") == 1
    assert "not Tidegate's to change" in capsys.readouterr().err


def test_what_units_remove_took_away_is_noticed(host: TunedHost, capsys: Capture) -> None:
    host.weaken("jvm-flags")
    host.boot(3)
    assert host.tune("apply", "jvm-flags") == 0
    (host.state / "units.json").unlink()
    for path in host.root.glob("etc/systemd/system/*.d/60-tidegate-*"):
        path.unlink()
    assert host.tune("--format", "json") == 4
    captured = capsys.readouterr().out
    assert "jvm-flags" in captured[captured.index("{") :]
    assert host.tune("apply", "jvm-flags") == 0


@pytest.mark.parametrize(
    "words", [("apply",), ("list", "x"), ("result",)], ids=["no-id", "id-too-many", "result"]
)
def test_what_makes_no_sense_is_said(
    host: TunedHost, capsys: Capture, words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        host.tune(*words)
    assert ended.value.code == 2
    assert "take the ID of an advice" in capsys.readouterr().err


def test_what_is_not_advised_is_not_applied(host: TunedHost, capsys: Capture) -> None:
    host.boot(3)
    assert host.tune("apply", "jvm-flags") == 1
    assert "jvm-flags is not advised on this host (advised: nothing)" in capsys.readouterr().err
    assert host.tune("result", "jvm-flags") == 1
    assert host.tune("revert", "jvm-flags") == 1


def test_the_satellites_own_words_are_timed(host: TunedHost) -> None:
    asked = host.root / "asked"
    for name, says in (("pvdisplay", "/dev/sda"), ("lvs", "x")):
        host.program(name, f'printf "%s\\n" "$0 $*" >> {asked}; echo {says}')
    host.write("sys/block/loop1/size", "2048\n")
    host.boot(1)
    assert host.tune() == 0
    lines = [re.sub(r"^\S+/", "", line) for line in asked.read_text().splitlines()]
    ignoring = 'devices { filter=["r|^/dev/drbd.*|"] }'
    assert (
        f"pvdisplay --config {ignoring} --columns -o pv_name -S vg_name=vg0 --noheadings --nosuffix"
        in lines
    )
    columns = "lv_name,lv_path,lv_size,vg_name,pool_lv,data_percent,lv_attr,metadata_percent,chunk_size,stripes"
    assert (
        f"lvs --config devices {{ filter=['a|/dev/sda|','r|.*|'] }} -o {columns} --separator ; --noheadings --units k --nosuffix vg0"
        in lines
    )
    assert sum(line.startswith("lvs ") for line in lines) == tunecommands.RUNS
    assert SCRIPT
