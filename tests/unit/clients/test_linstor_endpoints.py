# SPDX-License-Identifier: Apache-2.0
"""Lists of controllers in both dialects, and what must never show in them."""

import msgspec
import pytest

from tidegate.clients.errors import Trouble
from tidegate.clients.linstor import endpoints
from tidegate.clients.linstor.endpoints import Dialect, Endpoints


def urls(found: Endpoints | Trouble) -> tuple[str, ...]:
    assert isinstance(found, Endpoints), found
    return found.urls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ,", ()),
        ("ctl", ("http://ctl:3370",)),
        ("ctl:1234", ("http://ctl:1234",)),
        ("http://ctl", ("http://ctl:3370",)),
        ("https://ctl", ("https://ctl:3370",)),  # 3370 for https too: facts/incus.md L4
        ("https://ctl:3371", ("https://ctl:3371",)),
        ("HTTPS://ctl:3371/", ("https://ctl:3371",)),
        ("http://ctl/prefix?x=1", ("http://ctl:3370",)),  # a path is discarded
        ("10.0.0.1,10.0.0.2:3371", ("http://10.0.0.1:3370", "http://10.0.0.2:3371")),
        (" http://a , https://b:1 ", ("http://a:3370", "https://b:1")),
        ("[fd00::1]", ("http://[fd00::1]:3370",)),
        ("https://[FD00::1]:3371", ("https://[fd00::1]:3371",)),
        ("http://[fe80::1%eth0]:3370", ("http://[fe80::1%eth0]:3370",)),
        ("ctl,http://ctl:3370", ("http://ctl:3370",)),
        ("ctl.example.org.", ("http://ctl.example.org.:3370",)),
    ],
)
def test_incus_list(text: str, expected: tuple[str, ...]) -> None:
    assert urls(endpoints.parse(text, Dialect.INCUS)) == expected


@pytest.mark.parametrize(
    ("text", "tls", "expected"),
    [
        ("ctl", False, "http://ctl:3370"),
        ("ctl", True, "https://ctl:3371"),
        ("linstor://ctl", False, "http://ctl:3370"),
        ("linstor://ctl", True, "https://ctl:3371"),
        ("linstor+ssl://ctl", False, "https://ctl:3371"),
        ("linstor+ssl://ctl:1", False, "https://ctl:1"),
        ("http://ctl", True, "http://ctl:3370"),
        ("https://ctl", False, "https://ctl:3371"),
        ("linstor+ssl://[fd00::1]", False, "https://[fd00::1]:3371"),
    ],
)
def test_list_of_linstor_clients(text: str, tls: bool, expected: str) -> None:
    assert urls(endpoints.parse(text, Dialect.LINSTOR, tls=tls)) == (expected,)


@pytest.mark.parametrize(
    ("entry", "dialect", "said"),
    [
        ("linstor://ctl", Dialect.INCUS, "scheme 'linstor'"),
        ("ftp://ctl", Dialect.LINSTOR, "scheme 'ftp'"),
        ("http://", Dialect.INCUS, "host is missing"),
        ("ctl:port", Dialect.INCUS, "'port' is not a port number"),
        ("ctl:0", Dialect.INCUS, "'0' is not a port number"),
        ("ctl:65536", Dialect.INCUS, "'65536' is not a port number"),
        ("ctl:²", Dialect.INCUS, "is not a port number"),
        ("fd00::1", Dialect.INCUS, "brackets"),
        ("[fd00::1", Dialect.INCUS, "bracket"),
        ("[fd00::1]3370", Dialect.INCUS, "bracket"),
        ("[nonsense]:1", Dialect.INCUS, "'nonsense' is not an IPv6 address"),
        ("two words", Dialect.INCUS, "'two words' is not a host name"),
    ],
)
def test_a_bad_entry_is_named(entry: str, dialect: Dialect, said: str) -> None:
    found = endpoints.parse(f"good, {entry}", dialect)
    assert isinstance(found, Trouble)
    assert found.code == "controller.bad-address"
    assert repr(entry) in found.text
    assert said in found.text
    assert "http://" in found.hint  # what is allowed


def test_a_bad_entry_shows_no_password() -> None:
    for text in ("http://admin:hunter2@ctl:xx", "admin:hunter2@ctl:xx"):
        found = endpoints.parse(text, Dialect.INCUS)
        assert isinstance(found, Trouble)
        assert "hunter2" not in str(found)


def test_user_and_password_are_taken_out_of_the_address() -> None:
    found = endpoints.parse("http://admin:p%40ss@ctl, http://b", Dialect.INCUS)
    assert isinstance(found, Endpoints)
    assert found.urls == ("http://ctl:3370", "http://b:3370")
    assert (found.username, found.password) == ("admin", "p@ss")


def test_secrets_do_not_show() -> None:
    to = Endpoints(
        urls=("http://a:1",), username="u", password="sec-1", key_pem="sec-2", token="sec-3"
    )
    for shown in (repr(to), str(to), f"{to}", str(to.__rich_repr__()), repr([to])):
        assert "sec-" not in shown
        assert "http://a:1" in shown


def test_environment() -> None:
    found = endpoints.from_environment(
        {
            "LS_CONTROLLERS": "a,linstor://b",
            "LS_ROOT_CA_FILE": "/ca.pem",
            "LS_USER_CERTIFICATE": "CERT",
            "LS_USER_KEY": "KEY",
            "LS_USERNAME": "u",
            "LS_PASSWORD": "p",
            "LS_BEARER_TOKEN_FILE": "/token",
        }
    )
    assert found == Endpoints(
        urls=("https://a:3371", "https://b:3371"),
        ca_file="/ca.pem",
        cert_pem="CERT",
        key_pem="KEY",
        username="u",
        password="p",
        token_file="/token",
    )
    assert endpoints.from_environment({}) == Endpoints()
    assert isinstance(endpoints.from_environment({"LS_CONTROLLERS": "x://y"}), Trouble)


def test_client_configuration_file() -> None:
    text = "# a comment\n[global]\ncontrollers = linstor://a, linstor+ssl://b\n[x]\ny=%s\n"
    assert urls(endpoints.from_client_conf(text, "f")) == ("http://a:3370", "https://b:3371")
    assert urls(endpoints.from_client_conf("", "f")) == ()
    bad = endpoints.from_client_conf("controllers=a\n", "/etc/linstor/linstor-client.conf")
    assert isinstance(bad, Trouble)
    assert "/etc/linstor/linstor-client.conf" in bad.text


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("http://127.0.0.1:13370", True),
        ("http://localhost:13370", True),
        ("http://[::1]:13370", True),
        ("http://[::ffff:127.0.0.1]:13370", True),
        ("http://0.0.0.0:13370", True),
        ("http://LOCALHOST.:13370", True),
        ("https://127.0.0.1:13370", True),
        ("http://127.0.0.1:3370", False),
        ("http://10.0.0.1:13370", False),
        ("http://ctl:13370", False),
    ],
)
def test_our_own_address_is_dropped(url: str, is_own: bool) -> None:
    to = Endpoints(urls=(url, "http://other:3370"), password="p")
    left = endpoints.without(to, [("127.0.0.1", 13370)])
    assert left.urls == (("http://other:3370",) if is_own else to.urls)
    assert left.password == "p"


def test_own_address_that_is_not_loopback() -> None:
    to = Endpoints(urls=("http://[fd00::0001]:1", "http://node-a:1", "http://node-b:1"))
    left = endpoints.without(to, [("fd00::1", 1), ("NODE-A", 1)])
    assert left.urls == ("http://node-b:1",)


def test_endpoints_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Endpoints().urls = ("http://a:1",)  # type: ignore[misc]
    assert msgspec.structs.replace(Endpoints(), token="t").token == "t"
