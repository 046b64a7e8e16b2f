# SPDX-License-Identifier: Apache-2.0
"""Alert rules, scrape configuration and dashboard: promtool accepts them, their unit tests pass, and they ask for what we export."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.hand_made import instance, report, snapshot, state

from tidegate.core.finding import Grade
from tidegate.metrics import expose, families
from tidegate.metrics.tally import Tally, Told
from tidegate.metrics.values import BootFigures, Histogram, MetricKind

PACKAGING = Path(__file__).resolve().parents[3] / "packaging"
RULES = PACKAGING / "prometheus" / "tidegate.rules.yml"


def promtool(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=RULES.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PACKAGING / "grafana" / "tidegate.json").read_text())
    return found


def queries() -> list[str]:
    """Every query of the dashboard, with Grafana's own variables filled in."""
    shown = dashboard()
    found = [target["expr"] for panel in shown["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in shown["annotations"]["list"]]
    return [one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in found]


@pytest.mark.needs("promtool")
def test_rules_are_accepted_and_do_what_they_promise() -> None:
    promtool("check", "rules", "--lint-fatal", str(RULES))
    promtool("test", "rules", str(RULES.with_name("tidegate.rules.test.yml")))
    promtool("check", "config", str(RULES.with_name("scrape.yml")))


@pytest.mark.needs("promtool")
def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


@pytest.mark.needs("promtool")
def test_names_and_help_are_as_prometheus_wants_them() -> None:
    tally = Tally(satellite_unit="s", born=0.0, known={"last-instance": 1.0})
    tally.told(Told(what="pool-failed", name="remote", at=1.0))
    tally.actions["start-instance", "done"] = 1
    tally.starts["container", "total"] = Histogram()
    tally.read(BootFigures(status="late", phases={"kernel": 1.0}, instances={"late": 1}))
    told = report(states=(state(instance("c1"), Grade.FAILING),))
    text, _ = expose.render(families.families(tally, snapshot(), told, now=1.0, version="1"))
    assert promtool("check", "metrics", text=text.decode()) == ""


def exported() -> dict[str, set[str]]:
    """Every series that the agent can export, with its labels."""
    tally = Tally(satellite_unit="s", born=0.0, known={"last-instance": 1.0})
    told = report(states=(state(instance("c1"), Grade.FAILING),))
    tally.saw(snapshot(), told)
    tally.read(BootFigures(status="late"))
    found: dict[str, set[str]] = {"up": {"job"}, "tidegate_agent_up": set()}
    labels = {
        "tidegate_pool_mount_attempts": {"pool", "by", "outcome"},
        "tidegate_instance_start_seconds": {"type", "phase"},
        "tidegate_recovery_actions": {"action", "outcome"},
        "tidegate_satellite_start_seconds": {"phase"},
        "tidegate_boot_moment_seconds": {"moment"},
        "tidegate_findings_by_code": {"code", "grade"},
        "tidegate_boot_first_causes": {"code"},
        "tidegate_pool_down_since_timestamp_seconds": {"pool"},
    }
    for family in families.families(tally, snapshot(), told, now=1.0, version="1"):
        ends = {
            MetricKind.COUNTER: ("_total",),
            MetricKind.HISTOGRAM: ("_bucket", "_sum", "_count"),
            MetricKind.GAUGE: ("",),
        }
        own = labels.get(family.name) or {key for one in family.samples for key in one.labels}
        for end in ends[family.kind]:
            found[family.name + end] = own | ({"le"} if end == "_bucket" else set())
    return found


@pytest.mark.parametrize("source", ["rules", "dashboard"])
def test_only_what_is_exported_is_asked_for(source: str) -> None:
    text = RULES.read_text() if source == "rules" else "\n".join(queries())
    known = exported()
    asked = re.findall(
        r"(?<![\w:])((?:tidegate_\w+|up))(?:\{([^}]*)\})?",
        re.sub(r"\b\w+:tidegate_[\w:]+|#.*|summary:.*|description:.*", "", text),
    )
    assert len(asked) > 5
    for name, matchers in asked:
        assert name in known, name
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            assert label in known[name] | {"instance", "job"}, (name, label)


def test_the_textfile_unit_writes_where_its_sandbox_lets_it() -> None:
    unit = (PACKAGING / "textfile" / "tidegate-textfile.service").read_text()
    target = re.search(r"--textfile (\S+)", unit)
    assert target is not None
    assert f"ReadWritePaths={Path(target[1]).parent}" in unit
    assert (PACKAGING / "textfile" / "tidegate-textfile.timer").exists()
