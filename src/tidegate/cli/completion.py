# SPDX-License-Identifier: Apache-2.0
"""``tidegate completion SHELL``: print a completion script, made from the parsers themselves."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tidegate.cli import main, options
from tidegate.core import ids

_EXAMPLES = """\
  tidegate completion bash > /etc/bash_completion.d/tidegate
  tidegate completion zsh  > /usr/share/zsh/vendor-completions/_tidegate
  tidegate completion fish > /etc/fish/completions/tidegate.fish
"""
_SUBJECTS = tuple(str(kind) if kind.is_single else f"{kind}/" for kind in ids.SubjectKind)
_OF_SUBJECTS = {"subject", "subjects"}
"""Positional arguments that name subjects."""


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


class _Option(NamedTuple):
    """A long option: its help, and the values it takes if these are a closed set."""

    flag: str
    help: str
    values: tuple[str, ...]


class _Command(NamedTuple):
    """What may follow a command's name: verbs or kinds of subjects, and options."""

    words: tuple[str, ...]
    options: tuple[_Option, ...]


def _commands() -> dict[str, _Command]:
    """Return for each command what its parser takes."""
    found: dict[str, _Command] = {}
    for name in main.COMMANDS:
        parser = importlib.import_module(f"tidegate.cli.{name}").build_parser()
        actions = parser._actions  # noqa: SLF001  argparse offers no other way
        words: list[str] = []
        for action in actions:
            if not action.option_strings:
                words += action.choices or (_SUBJECTS if action.dest in _OF_SUBJECTS else ())
        taken = [
            _Option(
                max(action.option_strings, key=len), action.help or "", tuple(action.choices or ())
            )
            for action in actions
            if action.option_strings
        ]
        found[name] = _Command(tuple(words), tuple(taken))
    return found


def _bash() -> str:
    commands = _commands()
    cases = "".join(
        f"    {name}) words='{' '.join([*one.words, *(option.flag for option in one.options)])}' ;;\n"
        for name, one in commands.items()
    )
    values = "".join(
        f"    '{name} {option.flag}') words='{' '.join(option.values)}' ;;\n"
        for name, one in commands.items()
        for option in one.options
        if option.values
    )
    return (
        "# bash completion for tidegate\n"
        "_tidegate() {\n"
        "  local words current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
        '  case "${COMP_WORDS[1]}" in\n'
        f"{cases}"
        "  esac\n"
        '  case "${COMP_WORDS[1]} $before" in\n'
        f"{values}"
        "  esac\n"
        f"  [ \"$COMP_CWORD\" -eq 1 ] && words='{' '.join(main.COMMANDS)} --help --version'\n"
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))\n'
        '  case "${COMPREPLY[0]}" in */) compopt -o nospace ;; esac\n'
        "}\n"
        "complete -o default -F _tidegate tidegate\n"
    )


def _zsh() -> str:
    commands = " ".join(f"'{name}:{_plain(text)}'" for name, text in main.COMMANDS.items())
    cases, values = "", ""
    for name, one in _commands().items():
        words = " ".join([*one.words, *(option.flag for option in one.options)])
        cases += f"    {name}) compadd -- {words} ;;\n"
        values += "".join(
            f"    '{name} {option.flag}') compadd -- {' '.join(option.values)}; return ;;\n"
            for option in one.options
            if option.values
        )
    return (
        "#compdef tidegate\n"
        "_tidegate() {\n"
        f"  local -a commands=({commands})\n"
        "  if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
        '  case "${words[2]} ${words[CURRENT-1]}" in\n'
        f"{values}"
        "  esac\n"
        '  case "${words[2]}" in\n'
        f"{cases}"
        "  esac\n"
        "}\n"
        '_tidegate "$@"\n'
    )


def _fish() -> str:
    lines = ["# fish completion for tidegate", "complete -c tidegate -f"]
    for name, text in main.COMMANDS.items():
        lines.append(f"complete -c tidegate -n __fish_use_subcommand -a {name} -d '{_plain(text)}'")
    for name, one in _commands().items():
        seen = f"complete -c tidegate -n '__fish_seen_subcommand_from {name}'"
        if one.words:
            lines.append(f"{seen} -a '{' '.join(one.words)}'")
        for option in one.options:
            values = f" -x -a '{' '.join(option.values)}'" if option.values else ""
            lines.append(f"{seen} -l {option.flag.lstrip('-')} -d '{_plain(option.help)}'{values}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return ``text`` as it may stand between single quotes."""
    return text.replace("'", "’").replace("%(default)s", "").replace("%%", "%")
