# SPDX-License-Identifier: Apache-2.0
"""Talk to the agent over its socket: one line of JSON asked, lines of JSON answered. Standard library only."""

import argparse
import json
import os
import socket
from collections.abc import Iterator

from tidegate.cli import options

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs 2 ms, and commands are paid for at every call
    from typing import Any

ANSWER_WITHIN = 2.0
"""Seconds the agent has for its first line; it answers from memory, so more means that it is stuck."""
LONGEST_LINE = 64 * 1024 * 1024


class NoAgent(Exception):  # noqa: N818  it is a state of the host, not an error
    """Nobody answers at the socket; ``reason`` says how that looks."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def ask(
    path: str | os.PathLike[str],
    request: dict[str, "Any"],
    *,
    within: float = ANSWER_WITHIN,
    silence: float | None = None,
) -> Iterator[dict[str, "Any"]]:
    """Send ``request`` and yield the agent's answers until it closes.

    Args:
        path: The agent's socket.
        request: What is asked, ``{"op": …}``.
        within: Seconds until the first answer.
        silence: Seconds between later answers; default as ``within``.

    Raises:
        NoAgent: No agent runs, it may not be asked by this user, or it does not answer in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
                    yield json.loads(line)
                    connection.settimeout(silence or within)
        except TimeoutError:
            raise NoAgent(f"the agent at {path} did not answer in time") from None
        except FileNotFoundError:
            raise NoAgent(f"no agent runs ({path} does not exist)") from None
        except PermissionError:
            raise NoAgent(f"this user may not ask the agent at {path}") from None
        except (OSError, ValueError) as error:
            raise NoAgent(f"the agent at {path} could not be asked: {error}") from None


def ask_or_look(chosen: argparse.Namespace, request: dict[str, "Any"]) -> tuple[int, str]:
    """Return (exit code, text) for ``request``: the agent's answer, or, where none answers, our own look at this host."""
    try:
        answer = next(ask(options.agent_socket(chosen), request), None)
    except NoAgent as absence:
        reason = absence.reason
    else:
        if answer is not None:
            return int(answer["exit"]), str(answer["text"])
        reason = "the agent closed without an answer"
    from tidegate.agent import direct

    return direct.answer(
        request, overrides=options.overrides(chosen), config=chosen.config, reason=reason
    )
