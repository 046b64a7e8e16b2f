# SPDX-License-Identifier: Apache-2.0
"""Options: lengths of time as people write them, and where the agent's socket is looked for."""

import argparse
from pathlib import Path

import pytest

from tidegate.cli import options


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("5min", 300), ("1h", 3600), ("250ms", 0.25), ("1.5 m", 90)],
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert options.seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "soon", "5 fortnights", "-3", "1h30"])
def test_what_is_no_length_of_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="5min"):
        options.seconds(text)


def parsed(*argv: str) -> argparse.Namespace:
    parser = options.parser("x", "", "")
    options.add_host_options(parser)
    return parser.parse_args(argv)


def test_socket_from_option_environment_file_default_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text('[agent]\nrun_dir = "/from/file"\n')
    env = {"TIDEGATE_AGENT_RUN_DIR": "/from/env"}
    chosen = parsed("--run-dir", "/from/option", "--config", str(file))
    assert options.agent_socket(chosen, env) == "/from/option/agent.sock"
    assert options.agent_socket(parsed("--config", str(file)), env) == "/from/env/agent.sock"
    assert options.agent_socket(parsed("--config", str(file)), {}) == "/from/file/agent.sock"
    assert (
        options.agent_socket(parsed("--config", str(tmp_path / "none")), {})
        == "/run/tidegate/agent.sock"
    )


def test_a_broken_file_does_not_hide_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text("run_dir = [broken")
    assert options.agent_socket(parsed("--config", str(file)), {}) == "/run/tidegate/agent.sock"
