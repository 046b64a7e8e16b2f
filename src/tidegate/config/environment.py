# SPDX-License-Identifier: Apache-2.0
"""Names of environment variables, and the text of a unit's ``EnvironmentFile=``. Pure.

Every key has a variable of its own: ``linstor.controllers`` is ``TIDEGATE_LINSTOR_CONTROLLERS``. The names that LINSTOR's
and Incus's own clients use count as well, below ours (facts/linstor.md 10, facts/incus.md R1).
"""

import shlex
from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "TIDEGATE_"

OTHER_CLIENTS: Final[tuple[Mapping[str, str], ...]] = (
    {
        "LS_USER_CERTIFICATE_FILE": "linstor.cert_file",
        "LS_USER_KEY_FILE": "linstor.key_file",
        "LS_ROOT_CA_FILE": "linstor.ca_file",
    },
    {
        "LS_CONTROLLERS": "linstor.controllers",
        "LS_USER_CERTIFICATE": "linstor.cert",
        "LS_USER_KEY": "linstor.key",
        "LS_ROOT_CA": "linstor.ca",
        "LS_USERNAME": "linstor.username",
        "LS_PASSWORD": "linstor.password",
        "LS_BEARER_TOKEN_FILE": "linstor.token_file",
        "INCUS_SOCKET": "incus.socket",
    },
)
"""Variable -> key, weakest first: a text given directly wins over a file that holds it."""


def variable(key: str) -> str:
    """Return the variable of ``key``: ``agent.state_dir`` -> ``TIDEGATE_AGENT_STATE_DIR``."""
    return PREFIX + key.replace(".", "_").upper()


def parse_file(text: str) -> dict[str, str]:
    """Read what systemd reads from an ``EnvironmentFile=``: ``NAME=value`` lines, comments, quotes, continued lines.

    A line that is no assignment is left out, as systemd does (with a warning of its own).
    """
    return parse_assignments(_lines(text))


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=value`` texts, as systemd's property ``Environment`` has them; the last of a name wins."""
    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if equals and name.strip().isidentifier():
            found[name.strip()] = value
    return found


def _lines(text: str) -> Iterable[str]:
    for line in text.replace("\\\n", "").splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, equals, value = stripped.partition("=")
        yield f"{name}{equals}{_unquote(value.strip())}"


def _unquote(value: str) -> str:
    if not value or value[0] not in "\"'":
        return value
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return value
