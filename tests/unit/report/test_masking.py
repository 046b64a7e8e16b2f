# SPDX-License-Identifier: Apache-2.0
"""No name, address or secret of the host survives in a masked line, wherever it stands, and what is left still explains the boot."""

import gzip
import ipaddress
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidegate import boot as room
from tidegate.boot.model import Entry, Hints
from tidegate.clients.journal import read
from tidegate.clients.journal.notes import Notes
from tidegate.report import masking
from tidegate.report.masking import Masker

DATA = Path(__file__).resolve().parents[2] / "data"
RECORDINGS = sorted(
    [*DATA.glob("real-boots/*.boot.json.gz"), *DATA.glob("incus-boots/*.boot.json*")]
)

words = st.from_regex(r"[a-z]{3,9}", fullmatch=True).filter(
    lambda word: word not in masking._vocabulary()
)
names = st.builds(
    lambda parts, number: "-".join(parts) + number,
    st.lists(words, min_size=1, max_size=3),
    st.sampled_from(["", "1", "-02", "x7"]),
)
tokens = st.one_of(
    st.binary(min_size=8, max_size=32).map(bytes.hex),
    st.uuids().map(str),
    st.from_regex(r"[A-Za-z0-9]{20,40}", fullmatch=True),
    st.integers(10**9, 10**15).map(str),
)
addresses = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":")),
)
TEMPLATES = (
    'time="2026-11-23T05:23:09Z" level=error msg="Failed mounting storage pool" err="Node {0} is offline" pool={0}',
    'time="2026-11-23T05:23:09Z" level=info msg="Started instance" instance={0} project=default',
    "2026-11-23 07:31:39.844 [Main] INFO LINSTOR/Satellite/ffd5fa SYSTEM - Resource '{0}' [DRBD] adjusted.",
    "drbd {0}/0 drbd1001 peer: pdsk( UpToDate -> DUnknown ) [{0}]",
    "Accepted publickey for {0} from {0} port 51234 ssh2",
    "dial tcp {0}:3370: connect: connection refused",
    "https://{0}:8443/1.0?project={0}#x", "<{0}>", "({0})", '"{0}"', "x={0},y", "/var/lib/incus/storage-pools/{0}/x",
    "{0}@{0}.example", "lost {0}.", "dial {0}: refused", "{0}",
)  # fmt: skip


def masked(masker: Masker, secret: str, template: str) -> str:
    line = template.format(secret)
    entry = Entry(
        message=line,
        unit=f"{secret}.service",
        identifier=secret,
        hostname=secret,
        boot="0123456789abcdef0123456789abcdef",
        cursor=f"s={secret};i=1",
        fields={"TIDEGATE_SUBJECT": f"instance/default/{secret}"},
        source=secret,
    )
    shown = masker.entry(entry)
    texts = (
        shown.message,
        shown.unit,
        shown.identifier,
        shown.hostname,
        shown.cursor,
        shown.source,
    )
    return "\n".join((*texts, *shown.fields.values())).lower()


@given(secret=names, template=st.sampled_from(TEMPLATES), known=st.booleans())
def test_no_name_survives(secret: str, template: str, known: bool) -> None:
    masker = Masker({"inst": [secret]} if known else {})
    left = masked(masker, secret, template)
    assert not re.search(rf"(?<![a-z0-9]){re.escape(secret)}(?![a-z0-9])", left)


@given(secret=tokens, template=st.sampled_from(TEMPLATES))
def test_no_token_survives(secret: str, template: str) -> None:
    assume(len(set(secret)) > 3)
    assert secret.lower() not in masked(Masker({}), secret, template)


@given(secret=addresses, template=st.sampled_from(TEMPLATES))
def test_no_address_survives(secret: str, template: str) -> None:
    assume(secret not in masking._LOCAL and not secret.startswith("198.1"))
    assume(not secret.startswith(("2001:db8", "02:00:00:00", "::")))
    text = masked(Masker({}), secret, template)
    assert secret not in text
    if "." not in secret and secret.count(":") != 5:
        assert ipaddress.ip_address(secret).exploded not in text


@given(
    secret=st.from_regex(r"[!-~]{4,30}", fullmatch=True),
    key=st.sampled_from(["password=", "token: ", "Bearer ", "secret="]),
)
def test_what_follows_a_password_is_gone(secret: str, key: str) -> None:
    assume(not set(secret) & set("\"',;= "))
    shown = Masker({}).text(f"login {key}{secret} ok")
    assert secret not in shown
    assert "***" in shown


def test_the_same_name_gets_the_same_pseudonym_everywhere() -> None:
    masker = Masker({"host": ["alpha.example.org"], "inst": ["shop"]})
    assert (
        masker.text("alpha.example.org alpha instance/default/shop SHOP")
        == "host1 host2 instance/default/inst1 inst1"
    )
    assert masker.name("host", "alpha") == "host2"
    number = uuid.uuid4().hex
    first, second = masker.text(f"incus-volume-{number} {number}").split()
    assert first == f"incus-volume-{second}"


def test_what_explains_a_boot_stays() -> None:
    line = "drbd r/0 drbd1000: disk( Inconsistent -> UpToDate ) at 2026-11-23 07:31:39, 4096 KiB, exit status 1, version 9.2.16"
    shown = Masker({}).text(line)
    for part in ("drbd1000", "Inconsistent -> UpToDate", "2026-11-23 07:31:39", "4096", "9.2.16"):
        assert part in shown


def test_a_name_that_is_a_word_of_messages_is_masked_where_a_name_stands_and_told() -> None:
    masker = Masker({"pool": ["local"]})
    assert masker.kept == ("local",)
    assert masker.text('pool=local "local" Reached target local-fs.target') == (
        'pool=pool1 "pool1" Reached target local-fs.target'
    )


def lines(path: Path) -> Iterator[Entry]:
    return read.file(path, Notes())


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_masked_boot_has_the_same_causes(path: Path) -> None:
    plain = room.analyse(lines(path))
    known = {
        "host": [plain.hostname],
        "inst": [one.name for one in plain.instances],
        "pool": [one.name for one in plain.pools],
    }
    masker = Masker(known)
    found = room.analyse(map(masker.entry, lines(path)), hints=masker.hints(Hints()))
    assert found.status is plain.status
    assert [(one.code, one.confidence) for one in found.causes] == [
        (one.code, one.confidence) for one in plain.causes
    ]
    assert [(one.outcome, one.started) for one in found.instances] == [
        (one.outcome, one.started) for one in plain.instances
    ]
    assert (
        plain.hostname
        not in masker.text(
            gzip.decompress(path.read_bytes()).decode()
            if path.suffix == ".gz"
            else path.read_text()
        ).split()
    )
