# SPDX-License-Identifier: Apache-2.0
"""``tidegate completion SHELL``: print a completion script, made from the parsers themselves."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from tidegate.cli import main, options

_EXAMPLES = """\
  tidegate completion bash > /etc/bash_completion.d/tidegate
  tidegate completion zsh  > /usr/share/zsh/vendor-completions/_tidegate
  tidegate completion fish > /etc/fish/completions/tidegate.fish
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = options.parser("completion", "Print a completion script for a shell.", _EXAMPLES)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    chosen = build_parser().parse_args(argv)
    render = {"bash": _bash, "zsh": _zsh, "fish": _fish}[chosen.shell]
    sys.stdout.write(render())
    return 0


def _flags() -> dict[str, list[tuple[str, str]]]:
    """Return for each command its long options with their help."""
    found: dict[str, list[tuple[str, str]]] = {}
    for command in main.COMMANDS:
        parser = importlib.import_module(f"tidegate.cli.{command}").build_parser()
        actions = [action for action in parser._actions if action.option_strings]  # noqa: SLF001  argparse offers no other way
        found[command] = [(action.option_strings[-1], action.help or "") for action in actions]
    return found


def _bash() -> str:
    cases = "".join(
        f"    {command}) words='{' '.join(flag for flag, _ in flags)}' ;;\n"
        for command, flags in _flags().items()
    )
    return (
        "# bash completion for tidegate\n"
        "_tidegate() {\n"
        "  local words current=${COMP_WORDS[COMP_CWORD]}\n"
        '  case "${COMP_WORDS[1]}" in\n'
        f"{cases}"
        "  esac\n"
        f"  [ \"$COMP_CWORD\" -eq 1 ] && words='{' '.join(main.COMMANDS)} --help --version'\n"
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))\n'
        "}\n"
        "complete -o default -F _tidegate tidegate\n"
    )


def _zsh() -> str:
    commands = " ".join(f"'{name}:{text}'" for name, text in main.COMMANDS.items())
    cases = "".join(
        f"    {command}) compadd -- {' '.join(flag for flag, _ in flags)} ;;\n"
        for command, flags in _flags().items()
    )
    return (
        "#compdef tidegate\n"
        "_tidegate() {\n"
        f"  local -a commands=({commands})\n"
        "  if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
        '  case "${words[2]}" in\n'
        f"{cases}"
        "  esac\n"
        "}\n"
        '_tidegate "$@"\n'
    )


def _fish() -> str:
    lines = ["# fish completion for tidegate", "complete -c tidegate -f"]
    for command, text in main.COMMANDS.items():
        lines.append(f"complete -c tidegate -n __fish_use_subcommand -a {command} -d '{text}'")
    for command, flags in _flags().items():
        for flag, text in flags:
            short = text.replace("'", "’").replace("%(default)s", "")
            lines.append(
                f"complete -c tidegate -n '__fish_seen_subcommand_from {command}' -l {flag[2:]} -d '{short}'"
            )
    return "\n".join(lines) + "\n"
