# SPDX-License-Identifier: Apache-2.0
"""Addresses of controllers as people and programs write them."""

import pytest

from tidegate.config import controllers


@pytest.mark.parametrize(
    ("text", "tls", "url"),
    [
        ("10.0.0.1", False, "http://10.0.0.1:3370"),
        ("10.0.0.1", True, "https://10.0.0.1:3371"),
        ("host:4000", False, "http://host:4000"),
        ("linstor://host", False, "http://host:3370"),
        ("linstor://host", True, "https://host:3371"),
        ("linstor+ssl://host", False, "https://host:3371"),
        ("http://host", True, "http://host:3370"),
        ("https://host/", False, "https://host:3371"),
        ("HTTPS://host:1", False, "https://host:1"),
        ("[::1]", False, "http://[::1]:3370"),
        ("http://[fe80::1]:80", False, "http://[fe80::1]:80"),
        (" host ", False, "http://host:3370"),
    ],
)
def test_what_is_understood(text: str, tls: bool, url: str) -> None:
    assert controllers.parse(text, tls=tls) == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the host is missing"),
        ("http://", "the host is missing"),
        ("http://:3370", "the host is missing"),
        ("a b", "'a b' is not a host name"),
        ("ftp://a", "unknown scheme 'ftp'"),
        ("http://a:0", "'0' is not a port from 1 to 65535"),
        ("http://a:65536", "'65536' is not a port"),
        ("http://a:x", "'x' is not a port"),
        ("http://a/linstor", "has a path"),
        ("http://a?x", "has a path"),
        ("http://me:pw@a", "holds no user or password"),
        ("::1", "stands in brackets"),
        ("[::1", "a port stands behind the bracket"),
        ("[::1]x", "a port stands behind the bracket"),
        ("[zz]", "'zz' is not an IPv6 address"),
    ],
)
def test_what_is_refused_and_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        controllers.parse(text)
    assert problem in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", ()),
        ("a, b:1", ("http://a:3370", "http://b:1")),
        ("https://a", ("https://a:3370",)),
        ("http://a:3370/v1/", ("http://a:3370",)),
        ("http://u:p@a", ("http://a:3370",)),
        ("linstor://a,gopher://x", ("http://a:3370",)),
    ],
)
def test_as_incus_reads_its_own_key(text: str, urls: tuple[str, ...]) -> None:
    assert controllers.as_incus_reads(controllers.parse_list(text)) == urls


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:13370", True),
        ("http://localhost:13370", True),
        ("http://[::1]:13370", True),
        ("http://127.0.0.1:3370", False),
        ("http://10.0.0.1:13370", False),
    ],
)
def test_our_own_guard_is_known(url: str, own: bool) -> None:
    assert controllers.is_own_guard(url) is own
    assert controllers.without_guard([url, "http://a:3370", "http://a:3370"]) == (
        ("http://a:3370",) if own else (url, "http://a:3370")
    )
