# SPDX-License-Identifier: Apache-2.0
"""What is asked, and what must never show."""

import msgspec
import pytest

from tidegate.clients.linstor import endpoints
from tidegate.clients.linstor.endpoints import Endpoints


def test_secrets_do_not_show() -> None:
    to = Endpoints(
        urls=("http://a:1",), username="u", password="sec-1", key_pem="sec-2", token="sec-3"
    )
    for shown in (repr(to), str(to), f"{to}", str(to.__rich_repr__()), repr([to])):
        assert "sec-" not in shown
        assert "http://a:1" in shown


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
