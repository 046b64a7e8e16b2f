# SPDX-License-Identifier: Apache-2.0
"""What an ordinary host tells without any configuration of ours."""

import msgspec
import pytest

from tidegate.config import discover, load
from tidegate.config.discover import Evidence
from tidegate.config.model import Config
from tidegate.core.ids import NodeName
from tidegate.core.wanted import WantedMap

CONNECTION = "storage.linstor.controller_connection"
GUARD = "http://127.0.0.1:13370"
MAP = WantedMap(node=NodeName("kept"), controllers=("http://kept:3370",))


def configured(**options: object) -> Config:
    config = load.load([], {}, {key.replace("__", "."): value for key, value in options.items()})
    assert isinstance(config, Config)
    return config


@pytest.mark.parametrize(
    ("evidence", "urls", "origin"),
    [
        (
            Evidence(
                hostname="h", incus_config={CONNECTION: "10.0.0.1,https://10.0.0.2"}, wanted=MAP
            ),
            ("http://10.0.0.1:3370", "https://10.0.0.2:3370"),
            "Incus, storage.linstor.controller_connection",
        ),
        (
            Evidence(
                hostname="h",
                incus_config={},
                incus_environment={"LS_CONTROLLERS": "a,linstor+ssl://b"},
                client_conf="[global]\ncontrollers=c\n",
            ),
            ("http://a:3370", "https://b:3371"),
            "LS_CONTROLLERS of incus.service",
        ),
        (
            Evidence(
                hostname="h", incus_environment={"LS_CONTROLLERS": "a", "LS_ROOT_CA_FILE": "/ca"}
            ),
            ("https://a:3371",),
            "LS_CONTROLLERS of incus.service",
        ),
        (
            Evidence(hostname="h", wanted=MAP, incus_environment={"LS_CONTROLLERS": f"{GUARD},a"}),
            ("http://kept:3370",),
            "the map kept from the last good moment",
        ),
        (
            Evidence(hostname="h", incus_config={CONNECTION: f"{GUARD},http://real"}),
            ("http://real:3370",),
            "Incus, storage.linstor.controller_connection",
        ),
        (
            Evidence(hostname="h", incus_config={CONNECTION: GUARD}, wanted=MAP),
            ("http://kept:3370",),
            "the map kept from the last good moment",
        ),
        (
            Evidence(hostname="h", client_conf="[global]\ncontrollers = a, b\n"),
            ("http://a:3370", "http://b:3370"),
            "/etc/linstor/linstor-client.conf",
        ),
        (
            Evidence(hostname="h", controller_unit=True),
            ("http://localhost:3370",),
            "linstor-controller.service is installed on this host",
        ),
        (
            Evidence(hostname="h", incus_config={}, incus_has_linstor=True),
            ("http://localhost:3370",),
            "default that Incus uses too when nothing is set",
        ),
    ],
)
def test_where_the_controllers_come_from(
    evidence: Evidence, urls: tuple[str, ...], origin: str
) -> None:
    found = discover.discover(Config(), evidence)
    assert found.linstor.controllers == urls
    assert found.controllers_origin == origin
    assert found.trouble is None


def test_what_is_configured_wins_over_all_that_is_found() -> None:
    evidence = Evidence(hostname="h", incus_config={CONNECTION: "a"}, wanted=MAP)
    config = configured(linstor__controllers=["b"], linstor__ca_file="/ca.pem", node__name="me")
    found = discover.discover(config, evidence)
    assert found.linstor.controllers == ("https://b:3371",)
    assert (found.controllers_origin, found.tls_origin) == ("option", "option")
    assert (found.node, found.node_origin) == ("me", "option")


@pytest.mark.parametrize("conf", [None, "", "no section", "[global]\n"])
def test_nothing_found_is_a_trouble_that_says_what_to_set(conf: str | None) -> None:
    found = discover.discover(Config(), Evidence(hostname="h", client_conf=conf, incus_config={}))
    assert found.linstor.controllers == ()
    assert found.trouble is not None
    assert found.trouble.code == "controller.none-configured"
    assert "[linstor] controllers" in found.trouble.hint


@pytest.mark.parametrize(
    ("evidence", "where"),
    [
        (Evidence(hostname="h", incus_config={CONNECTION: "ftp://x"}), f"Incus's {CONNECTION}"),
        (
            Evidence(hostname="h", incus_config={}, incus_environment={"LS_CONTROLLERS": "a:b:c"}),
            "LS_CONTROLLERS of incus.service",
        ),
        (
            Evidence(hostname="h", client_conf="[global]\ncontrollers=ftp://x", incus_config={}),
            discover.CLIENT_CONF,
        ),
    ],
)
def test_what_is_named_and_cannot_be_read_is_said_with_its_place(
    evidence: Evidence, where: str
) -> None:
    trouble = discover.discover(Config(), evidence).trouble
    assert trouble is not None
    assert trouble.code == "controller.bad-address"
    assert where in trouble.text
    assert "http://HOST" in trouble.hint


@pytest.mark.parametrize(
    ("evidence", "node"),
    [
        (
            Evidence(
                hostname="h",
                incus_config={"storage.linstor.satellite.name": "sat"},
                incus_member="member",
                wanted=MAP,
            ),
            "sat",
        ),
        (Evidence(hostname="h", incus_config={}, incus_member="member", wanted=MAP), "member"),
        (Evidence(hostname="h", incus_config={}, wanted=MAP), "h"),
        (Evidence(hostname="h", wanted=MAP), "kept"),
        (Evidence(hostname="h"), "h"),
    ],
)
def test_the_node_is_named_as_incus_names_it(evidence: Evidence, node: str) -> None:
    assert discover.discover(Config(), evidence).node == node


def test_certificates_are_those_that_incus_uses() -> None:
    incus = {
        CONNECTION: "https://a:3371",
        "storage.linstor.ca_cert": "CA",
        "storage.linstor.client_cert": "CERT",
        "storage.linstor.client_key": "KEY",
    }
    found = discover.discover(Config(), Evidence(hostname="h", incus_config=incus))
    assert (found.linstor.ca, found.linstor.cert, found.linstor.key) == ("CA", "CERT", "KEY")
    assert found.tls_origin.startswith("Incus")
    assert "KEY" not in repr(found)


def test_certificates_of_the_linstor_client() -> None:
    conf = "[global]\ncontrollers=linstor+ssl://a\ncafile=/ca\ncertfile=/c\nkeyfile=/k\n"
    found = discover.discover(Config(), Evidence(hostname="h", client_conf=conf))
    assert (found.linstor.ca_file, found.linstor.cert_file, found.linstor.key_file) == (
        "/ca",
        "/c",
        "/k",
    )
    assert found.tls_origin == discover.CLIENT_CONF


@pytest.mark.parametrize(
    ("evidence", "login"),
    [
        (
            Evidence(hostname="h", incus_environment={"LS_USERNAME": "u", "LS_PASSWORD": "p"}),
            ("u", "p", ""),
        ),
        (
            Evidence(
                hostname="h",
                incus_environment={
                    "LS_CONTROLLERS": f"{GUARD},http://a",
                    "LS_USERNAME": "guard",
                    "LS_PASSWORD": "secret of the guard",
                },
            ),
            ("", "", ""),
        ),
        (
            Evidence(
                hostname="h", incus_environment={"LS_BEARER_TOKEN_FILE": "/t"}, satellite_token=True
            ),
            ("", "", "/t"),
        ),
        (Evidence(hostname="h", satellite_token=True), ("", "", discover.SATELLITE_TOKEN)),
    ],
)
def test_user_and_token(evidence: Evidence, login: tuple[str, str, str]) -> None:
    linstor = discover.discover(Config(), evidence).linstor
    assert (linstor.username, linstor.password, linstor.token_file) == login


def test_evidence_does_not_show_what_it_holds() -> None:
    evidence = Evidence(hostname="h", incus_config={"storage.linstor.client_key": "KEY"})
    assert "KEY" not in repr(evidence)
    assert msgspec.structs.asdict(evidence)["hostname"] == "h"
