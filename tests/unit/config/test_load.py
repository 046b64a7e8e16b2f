# SPDX-License-Identifier: Apache-2.0
"""The configuration: what wins, and that every mistake is named with its place and what is allowed."""

from collections.abc import Mapping

import pytest

from tidegate.config import load
from tidegate.config.model import Config, LogLevel, Use
from tidegate.config.policy import PeerAlivePolicy

MAIN = "/etc/tidegate/tidegate.toml"


def loaded(
    *texts: str, env: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
) -> Config:
    files = [(MAIN if n == 0 else f"/etc/tidegate/conf.d/{n}.toml", t) for n, t in enumerate(texts)]
    result = load.load(files, env or {}, options or {})
    assert isinstance(result, Config), "\n".join(map(str, result))
    return result


def errors(
    *texts: str, env: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
) -> list[str]:
    files = [(MAIN if n == 0 else f"/etc/tidegate/conf.d/{n}.toml", t) for n, t in enumerate(texts)]
    result = load.load(files, env or {}, options or {})
    assert not isinstance(result, Config)
    return [str(error) for error in result]


def test_nothing_set_is_the_default_configuration() -> None:
    config = load.load([], {}, {})
    assert config == Config()
    assert isinstance(config, Config)
    assert config.origin("agent.poll_fast") == "default"


def test_every_kind_of_value_from_a_file() -> None:
    config = loaded(
        """
        [linstor]
        controllers = ["http://10.0.0.1:3370", "10.0.0.2"]
        [systemd]
        use = "off"
        [agent]
        poll_fast = 1
        [health]
        peer_alive = "use"
        [recovery]
        enabled = false
        parallel_starts = 2
        [recovery.backoff]
        first = 0.5
        [log]
        level = "DEBUG"
        """
    )
    assert config.linstor.controllers == ("http://10.0.0.1:3370", "10.0.0.2")
    assert config.systemd.use is Use.OFF
    assert config.agent.poll_fast == 1.0
    assert config.health.peer_alive is PeerAlivePolicy.USE
    assert (config.recovery.enabled, config.recovery.parallel_starts) == (False, 2)
    assert config.recovery.backoff.first == 0.5
    assert config.recovery.backoff.limit == 30.0
    assert config.log.level is LogLevel.DEBUG


def test_what_is_stronger_wins_and_is_named_as_the_origin() -> None:
    main = '[node]\nname = "main"\n[log]\nlevel = "error"\n[agent]\nstate_dir = "/main"\n'
    drop_in = '[node]\nname = "drop-in"\n[agent]\nstate_dir = "/drop-in"\n'
    env = {"TIDEGATE_NODE_NAME": "variable"}
    config = loaded(main, drop_in, env=env, options={"node.name": "option"})
    assert config.node.name == "option"
    assert config.origin("node.name") == "option"
    config = loaded(main, drop_in, env=env)
    assert config.node.name == "variable"
    assert config.origin("node.name") == "environment variable TIDEGATE_NODE_NAME"
    assert config.agent.state_dir == "/drop-in"
    assert config.origin("agent.state_dir") == "/etc/tidegate/conf.d/1.toml"
    assert config.log.level is LogLevel.ERROR
    assert config.origin("log.level") == MAIN


def test_an_option_that_was_not_given_changes_nothing() -> None:
    assert loaded('[node]\nname = "n1"', options={"node.name": None}).node.name == "n1"


def test_every_key_has_a_variable() -> None:
    for key in load.all_keys():
        name = "TIDEGATE_" + key.replace(".", "_").upper()
        result = load.load([], {name: "1"}, {})
        if isinstance(result, Config):
            assert result.origin(key) == f"environment variable {name}"
        else:
            assert result[0].key in {key, ""}
            assert result[0].code != "config.unknown-key", key


def test_variables_and_options_are_read_as_text() -> None:
    config = loaded(
        env={
            "TIDEGATE_LINSTOR_CONTROLLERS": " http://a , http://b:3370 ",
            "TIDEGATE_RECOVERY_ENABLED": "no",
            "TIDEGATE_HOST_SATELLITE_PORT": "3367",
            "TIDEGATE_RECOVERY_BACKOFF_FIRST": "2.5",
            "TIDEGATE_DRBD_USE": "Off",
        },
        options={"agent.poll_rest": "20", "incus.socket": "/tmp/incus.socket"},
    )
    assert config.linstor.controllers == ("http://a", "http://b:3370")
    assert not config.recovery.enabled
    assert config.host.satellite_port == 3367
    assert config.recovery.backoff.first == 2.5
    assert config.drbd.use is Use.OFF
    assert config.agent.poll_rest == 20.0
    assert config.incus.socket == "/tmp/incus.socket"


def test_names_that_other_clients_use() -> None:
    config = loaded(
        '[linstor]\nca_file = "/file/ca.pem"\n',
        env={
            "LS_CONTROLLERS": "a,linstor+ssl://b",
            "LS_USER_CERTIFICATE": "CERT",
            "LS_USER_CERTIFICATE_FILE": "/not/used.pem",
            "LS_USER_KEY_FILE": "/key.pem",
            "LS_ROOT_CA": "CA",
            "LS_USERNAME": "admin",
            "LS_PASSWORD": " secret ",
            "LS_BEARER_TOKEN_FILE": "/token",
            "INCUS_SOCKET": "/incus.socket",
        },
    )
    linstor = config.linstor
    assert linstor.controllers == ("a", "linstor+ssl://b")
    assert (linstor.cert, linstor.cert_file) == ("CERT", "")
    assert (linstor.key, linstor.key_file) == ("", "/key.pem")
    assert (linstor.ca, linstor.ca_file) == ("CA", ""), "a stronger place's way ends a weaker one's"
    assert (linstor.username, linstor.password) == ("admin", " secret ")
    assert linstor.token_file == "/token"
    assert config.incus.socket == "/incus.socket"


def test_our_own_variable_wins_over_that_of_another_client() -> None:
    env = {"LS_CONTROLLERS": "theirs", "TIDEGATE_LINSTOR_CONTROLLERS": "ours"}
    assert loaded(env=env).linstor.controllers == ("ours",)


def test_secrets_are_not_shown() -> None:
    config = loaded(
        env={"LS_PASSWORD": "hunter2", "LS_USER_KEY": "PEMKEY", "LS_USER_CERTIFICATE": "x"}
    )
    assert "hunter2" not in repr(config)
    assert "PEMKEY" not in repr(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[linstor]\ncontrolers = ["a"]',
            f"{MAIN}: linstor.controlers: there is no such key, did you mean controllers?; allowed: controllers, ",
        ),
        ("[lnistor]\na = 1", f"{MAIN}: lnistor: there is no such section, did you mean linstor?; "),
        ("[qqqqq]\na = 1", f"{MAIN}: qqqqq: there is no such section; allowed: node, linstor, "),
        (
            "poll_fast = 1",
            f"{MAIN}: poll_fast: there is no such section, did you mean agent.poll_fast?",
        ),
        (
            "[recovery.backoff]\nfirts = 1",
            f"{MAIN}: recovery.backoff.firts: there is no such key, did you mean first?; allowed: first, factor, ",
        ),
        (
            "[log.level]\nx = 1",
            f"{MAIN}: log.level: a table cannot be used here; allowed: debug, info, ",
        ),
        ("linstor = 5", f"{MAIN}: linstor: is a section, not 5; allowed: [linstor]"),
        ("origins = {}", f"{MAIN}: origins: there is no such section; "),
        (
            '[agent]\npoll_fast = "soon"',
            f"{MAIN}: agent.poll_fast: 'soon' cannot be used here; allowed: a number above 0 to 86400, in seconds",
        ),
        ("[agent]\npoll_fast = 0", f"{MAIN}: agent.poll_fast: 0 cannot be used here; "),
        ("[agent]\npoll_fast = true", f"{MAIN}: agent.poll_fast: true cannot be used here; "),
        ("[agent]\npoll_rest = inf", f"{MAIN}: agent.poll_rest: inf is no usable number; "),
        (
            "[health]\npeer_wait = -1",
            f"{MAIN}: health.peer_wait: -1 is below zero; allowed: a number that is not below",
        ),
        (
            "[recovery]\nparallel_starts = 2.5",
            f"{MAIN}: recovery.parallel_starts: 2.5 cannot be used here; allowed: a whole number",
        ),
        (
            '[recovery]\nenabled = "yes"',
            f"{MAIN}: recovery.enabled: 'yes' cannot be used here; allowed: true, false",
        ),
        (
            '[log]\nlevel = "loud"',
            f"{MAIN}: log.level: 'loud' cannot be used here; allowed: debug, info, warning, error",
        ),
        (
            '[systemd]\nuse = "on"',
            f"{MAIN}: systemd.use: 'on' cannot be used here; allowed: auto, off",
        ),
        (
            "[host]\nsatellite_port = 70000",
            f"{MAIN}: host.satellite_port: 70000 cannot be used here; allowed: a whole number from 1 to 65535",
        ),
        (
            '[linstor]\ncontrollers = "http://a"',
            f"{MAIN}: linstor.controllers: 'http://a' cannot be used here; allowed: a list, each http://HOST",
        ),
        (
            '[linstor]\ncontrollers = ["ftp://a"]',
            f"{MAIN}: linstor.controllers: 'ftp://a' has the unknown scheme 'ftp'; ",
        ),
        (
            '[linstor]\ncontrollers = ["http://127.0.0.1:13370"]',
            f"{MAIN}: linstor.controllers: 'http://127.0.0.1:13370' is Tidegate's own guard: name the real controllers; ",
        ),
        (
            '[agent]\nstate_dir = "here"',
            f"{MAIN}: agent.state_dir: 'here' is not an absolute path; allowed: an absolute path",
        ),
        (
            '[systemd]\nincus_unit = "incus"',
            f"{MAIN}: systemd.incus_unit: 'incus' is not the name of a unit; ",
        ),
        (
            '[linstor]\nca = "PEM"\nca_file = "/ca.pem"',
            f"{MAIN}: linstor.ca_file: linstor.ca is set in the same place; allowed: one of the two",
        ),
        (
            '[linstor]\ncert_file = "/c.pem"',
            f"{MAIN}: linstor.cert_file: a client certificate and its key belong together, and linstor.key_file is not set",
        ),
        (
            "[agent]\npoll_fast = 20",
            f"{MAIN}: agent.poll_fast: agent.poll_fast (20 s) is slower than agent.poll_rest (10 s)",
        ),
        ("[linstor", f"{MAIN}:1: this is not TOML: "),
        ('[node]\nname = "a"\nname = "b"\n', f"{MAIN}:3: this is not TOML: "),
        ('[node]\nname = "a', f"{MAIN}:2: this is not TOML: "),
    ],
)
def test_each_mistake_names_file_key_and_what_is_allowed(text: str, expected: str) -> None:
    found = errors(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_mistakes_are_told_at_once_each_with_its_own_file() -> None:
    found = errors("[node]\nnam = 1", "[log]\nlevel = 1", env={"TIDEGATE_AGENT_POLL_REST": "x"})
    assert [error.partition(": ")[0] for error in found] == [
        MAIN,
        "/etc/tidegate/conf.d/1.toml",
        "environment variable TIDEGATE_AGENT_POLL_REST",
    ]
    assert found[2].endswith("'x' is no number; allowed: a number above 0 to 86400, in seconds")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TIDEGATE_LINSTOR_CONTROLERS", "did you mean TIDEGATE_LINSTOR_CONTROLLERS?"),
        ("TIDEGATE_LINSTR_CONTROLLERS", "did you mean TIDEGATE_LINSTOR_CONTROLLERS?"),
        ("TIDEGATE_LOG_LEVLE", "did you mean TIDEGATE_LOG_LEVEL?; allowed: TIDEGATE_LOG_LEVEL"),
    ],
)
def test_a_misspelt_variable_is_an_error(name: str, expected: str) -> None:
    (found,) = errors(env={name: "x"})
    assert found.startswith(f"environment variable {name}: there is no such variable, ")
    assert expected in found


def test_variables_that_are_none_of_ours_are_left_alone() -> None:
    assert load.load([], {"TIDEGATE_REQUIRE": "all", "LS_OTHER": "x", "HOME": "/"}, {}) == Config()


def test_a_wrong_option_is_named_by_its_key() -> None:
    assert errors(options={"linstor.controllers": "http://a/path"})[0].startswith(
        "option: linstor.controllers: 'http://a/path' has a path"
    )
    assert errors(options={"agent.poll": 3})[0].startswith(
        "option: agent.poll: there is no such key"
    )
