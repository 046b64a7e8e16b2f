# SPDX-License-Identifier: Apache-2.0
"""The catalogue is complete, well formed, and its document is current."""

import re
from pathlib import Path

import pytest
from tests import health_facts as facts
from tests.recordings import ROOT

from tidegate.core import ids
from tidegate.core.snapshot import Source
from tidegate.health import catalogue, codes_ground, codes_host, codes_incus, codes_volume
from tidegate.health.code import Code

HEALTH = ROOT / "src" / "tidegate" / "health"
MAKE = ".venv/bin/python tools/make_docs.py"


def test_the_document_is_current() -> None:
    """docs/findings.md is made from the catalogue; what other rooms find stands behind it."""
    written = (ROOT / "docs" / "findings.md").read_text()
    assert written.startswith(catalogue.document()), f"make it anew: {MAKE}"


def test_no_code_is_there_twice() -> None:
    every = [
        *codes_host.CODES,
        *codes_ground.CODES,
        *codes_volume.CODES,
        *codes_incus.CODES,
    ]
    assert len(every) == len(catalogue.CODES)


@pytest.mark.parametrize("code", catalogue.CODES.values(), ids=lambda code: code.code)
def test_an_entry_is_well_formed(code: Code) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", code.code)
    assert code.means.endswith(".")
    assert code.expected
    assert code.remedy
    assert "force" not in code.remedy.lower().replace("never force it", "")


def test_every_code_that_is_used_is_in_the_catalogue_and_the_other_way_round() -> None:
    text = "".join(
        path.read_text() for path in HEALTH.glob("*.py") if not path.name.startswith("codes_")
    )
    layers = "|".join(sorted({code.layer for code in catalogue.CODES.values()}))
    used = set(re.findall(rf"\"((?:{layers})\.[a-z-]+)\"", text))
    assert used - {"incus.service"} <= set(catalogue.CODES)
    of_clients = {code for code in catalogue.CODES if code.startswith(("controller.", "incus."))}
    of_agent = {"source.hung", "source.bug"}
    assert set(catalogue.CODES) - used <= of_clients | of_agent


def test_every_code_of_the_clients_for_the_controller_is_known() -> None:
    clients: Path = ROOT / "src" / "tidegate" / "clients"
    files = [*clients.glob("linstor/*.py"), clients / "http.py", clients / "errors.py"]
    text = "".join(path.read_text() for path in files)
    literal = set(re.findall(r"code=\"(controller\.[a-z-]+)\"", text))
    slugs = set(re.findall(r"^[A-Z_]+: Final = \"([a-z-]+)\"$", text, re.MULTILINE))
    slugs &= {
        "refused",
        "unreachable",
        "timeout-connect",
        "timeout",
        "tls",
        "disconnected",
        "garbage",
    }
    assert literal | {f"controller.{slug}" for slug in slugs} <= set(catalogue.CODES)


def test_a_remedy_never_fails_for_want_of_a_value() -> None:
    finding = catalogue.finding(
        "volume.peer-alive", ids.volume(facts.VOL), "n2 is away", source=Source.DRBD
    )
    assert "{" not in finding.remedy
