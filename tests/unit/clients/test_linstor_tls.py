# SPDX-License-Identifier: Apache-2.0
"""TLS to a controller: what is trusted, what we show, and what is said when that is not enough."""

import asyncio
import datetime as dt
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from blockbuster import blockbuster_ctx
from tests.unit.clients import faults
from tests.unit.clients.controllers import Controller, client_of, trouble_of


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("tidegate"):
        yield


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_side(cert: trustme.LeafCert, clients: trustme.CA | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    if clients is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(made)
    return made


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


@pytest.fixture
async def controller(ca: trustme.CA) -> AsyncIterator[Controller]:
    async with Controller(server_side(ca.issue_cert("localhost"))).running() as made:
        yield made


@pytest.fixture
async def strict(ca: trustme.CA) -> AsyncIterator[Controller]:
    """A controller that wants a client certificate."""
    async with Controller(server_side(ca.issue_cert("localhost"), ca)).running() as made:
        yield made


def own_files(cert: trustme.LeafCert, folder: Path) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    chain, key = folder / "client.crt", folder / "client.key"
    chain.write_bytes(b"".join(part.bytes() for part in cert.cert_chain_pems))
    key.write_bytes(cert.private_key_pem.bytes())
    return {"cert_file": str(chain), "key_file": str(key)}


def own_text(cert: trustme.LeafCert) -> dict[str, str]:
    chain = b"".join(part.bytes() for part in cert.cert_chain_pems)
    return {"cert_pem": chain.decode(), "key_pem": cert.private_key_pem.bytes().decode()}


async def test_ca_as_text_or_file(controller: Controller, ca: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(pem(ca))
    for given in ({"ca_pem": pem(ca)}, {"ca_file": str(tmp_path / "ca.pem")}):
        async with client_of(controller.url, connect_limit=3, **given) as client:
            assert (await client.version()).version == "1.34.0"
            assert client.active == controller.url


async def code_and_text(controller: Controller, **given: Any) -> str:
    async with client_of(controller.url, connect_limit=3, **given) as client:
        trouble = await trouble_of(client.version())
        assert trouble.code == "controller.tls", trouble
        assert trouble.hint
        return f"{trouble.text} | {trouble.hint}"


async def test_unknown_ca(controller: Controller) -> None:
    assert "unknown CA" in await code_and_text(controller, ca_pem=pem(trustme.CA()))
    assert "unknown CA" in await code_and_text(controller)  # what the system trusts


async def test_wrong_host_and_expired(ca: trustme.CA) -> None:
    async with Controller(server_side(ca.issue_cert("elsewhere.example"))).running() as other:
        assert "wrong host" in await code_and_text(other, ca_pem=pem(ca))
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    old = ca.issue_cert("localhost", not_before=past, not_after=past + dt.timedelta(days=1))
    async with Controller(server_side(old)).running() as other:
        assert "expired" in await code_and_text(other, ca_pem=pem(ca))


async def test_client_certificate_as_files_and_text(
    strict: Controller, ca: trustme.CA, tmp_path: Path
) -> None:
    cert = ca.issue_cert("tidegate")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.private_key_and_cert_chain_pem.bytes())
    for own in (own_files(cert, tmp_path), own_text(cert), {"cert_file": str(both)}):
        async with client_of(strict.url, connect_limit=3, ca_pem=pem(ca), **own) as client:
            await client.version()


async def test_client_certificate_missing_or_of_another_ca(
    strict: Controller, ca: trustme.CA
) -> None:
    said = await code_and_text(strict, ca_pem=pem(ca))
    assert "client certificate" in said
    assert "none" in said
    other = own_text(trustme.CA().issue_cert("tidegate"))
    said = await code_and_text(strict, ca_pem=pem(ca), **other)
    assert "client certificate" in said
    assert "not trusted" in said


async def test_linstor_hangs_up_on_a_client_it_does_not_know(ca: trustme.CA) -> None:
    # As recorded: "Empty reply from server" after a handshake that went well (data/linstor g_tls)
    tls = server_side(ca.issue_cert("localhost"))
    async with (
        faults.serve(faults.answer(), tls) as port,
        client_of(f"https://localhost:{port}", connect_limit=3, ca_pem=pem(ca)) as client,
    ):
        trouble = await trouble_of(client.version())
    assert trouble.code == "controller.tls"
    assert "wants a client certificate, and we have none" in trouble.hint


async def test_a_controller_that_stops_later_is_no_question_of_certificates(ca: trustme.CA) -> None:
    version = faults.http(200, '{"version":"1","rest_api_version":"1"}')[0]

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"version" in await reader.readuntil(b"\r\n\r\n"):
            writer.write(version)

    async with (
        faults.serve(once, server_side(ca.issue_cert("localhost"))) as port,
        client_of(f"https://localhost:{port}", connect_limit=3, ca_pem=pem(ca)) as client,
    ):
        await client.version()
        assert (await trouble_of(client.nodes())).code == "controller.disconnected"


async def test_files_that_cannot_be_used_are_named(
    controller: Controller, ca: trustme.CA, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("not a certificate")
    cert = own_files(ca.issue_cert("a"), tmp_path)
    other = own_files(ca.issue_cert("b"), tmp_path / "other")
    for given, said in (
        ({"ca_file": str(tmp_path / "none.pem")}, "none.pem cannot be used: no such file"),
        ({"ca_file": str(nonsense)}, "nonsense.pem cannot be used"),
        ({"ca_pem": "rubbish"}, "the CA certificate (text) cannot be used"),
        ({"cert_file": str(nonsense), "key_file": cert["key_file"]}, "nonsense.pem and its key"),
        ({**cert, "key_file": other["key_file"]}, "key values mismatch"),
        ({"key_file": cert["key_file"]}, "without its certificate"),
    ):
        assert said in await code_and_text(controller, **given)


async def test_a_renewed_certificate_needs_no_restart(
    strict: Controller, ca: trustme.CA, tmp_path: Path
) -> None:
    own = own_files(trustme.CA().issue_cert("tidegate"), tmp_path)
    async with client_of(strict.url, connect_limit=3, ca_pem=pem(ca), **own) as client:
        assert (await trouble_of(client.version())).code == "controller.tls"
        own_files(ca.issue_cert("tidegate"), tmp_path)
        await client.version()


async def test_no_secret_is_left_on_disk_or_shown(
    controller: Controller, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    own = own_text(ca.issue_cert("tidegate"))
    async with client_of(controller.url, connect_limit=3, ca_pem=pem(ca), **own) as client:
        await client.version()
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    broken = {**own, "key_pem": own["key_pem"].replace("\n", "")}
    said = await code_and_text(controller, ca_pem=pem(ca), **broken)
    assert own["key_pem"].splitlines()[1] not in said


async def test_plain_and_tls_controllers_in_one_list(
    controller: Controller, ca: trustme.CA
) -> None:
    with faults.refused() as port:
        urls = (f"http://127.0.0.1:{port}", controller.url)
        async with client_of(*urls, connect_limit=3, ca_pem=pem(ca)) as client:
            await client.version()
            assert client.active == controller.url
