# SPDX-License-Identifier: Apache-2.0
"""Names of units: types, templates and instances, specifiers, paths as names (man systemd.unit(5), systemd-escape(1))."""

import re
from typing import Final

TYPES: Final = (
    "service",
    "socket",
    "target",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
    "device",
)
_VALID: Final = re.compile(r"[A-Za-z0-9:_.\\@-]+")
_ESCAPED: Final = re.compile(r"\\x([0-9a-fA-F]{2})")
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")
_DIRECTORIES: Final = {
    "t": "/run",
    "S": "/var/lib",
    "C": "/var/cache",
    "L": "/var/log",
    "E": "/etc",
}
_LONGEST: Final = 255


def kind(name: str) -> str:
    """Return the type, ``service`` of ``a@b.service``; "" when ``name`` cannot be a unit's."""
    stem, dot, suffix = name.rpartition(".")
    fits = dot and stem and suffix in TYPES and len(name) <= _LONGEST
    return suffix if fits and _VALID.fullmatch(name) and not stem.startswith("@") else ""


def parts(name: str) -> tuple[str, str, str]:
    """Return prefix, instance and type: ``a@b.service`` gives ("a", "b", "service"); the instance is "" without one."""
    stem, _, suffix = name.rpartition(".")
    prefix, _, instance = stem.partition("@")
    return prefix, instance, suffix


def is_template(name: str) -> bool:
    """True for ``a@.service``: a form to fill in, never a unit that runs."""
    prefix, instance, _ = parts(name)
    return not instance and name.startswith(f"{prefix}@")


def template(name: str) -> str:
    """Return ``a@.service`` for ``a@b.service``; "" when it is no instance."""
    prefix, instance, suffix = parts(name)
    return f"{prefix}@.{suffix}" if instance else ""


def instantiate(name: str, instance: str) -> str:
    """Return ``a@INSTANCE.service`` for the template ``a@.service``."""
    prefix, _, suffix = parts(name)
    return f"{prefix}@{instance}.{suffix}"


def drop_in_stems(name: str) -> tuple[str, ...]:
    """Return the stems of directories that hold drop-ins for ``name``, most special first.

    ``a-b@c.service``: itself, ``a-b@.service``, then ``a-.service`` (every unit whose name begins so). The type itself
    (``service``) comes last of all, after those of the aliases: the caller adds it.
    """
    prefix, _, suffix = parts(name)
    stems = [name]
    if template(name):
        stems.append(template(name))
    cut = prefix.rstrip("-")
    while "-" in cut:
        cut = cut[: cut.rindex("-")]
        stems.append(f"{cut}-.{suffix}")
        cut = cut.rstrip("-")
    return tuple(stems)


def unescape(text: str) -> str:
    r"""Return what ``text`` stands for: ``-`` is a slash, ``\x2d`` a dash."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text.replace("-", "/"))


def escape(text: str) -> str:
    """Return ``text`` in the form it has within a unit's name (systemd-escape)."""
    out: list[str] = []
    for at, byte in enumerate(text.encode()):
        character = chr(byte)
        if character == "/":
            out.append("-")
        elif character in _SAFE and not (at == 0 and character == "."):
            out.append(character)
        else:
            out.append(f"\\x{byte:02x}")
    return "".join(out)


def from_path(path: str, suffix: str) -> str:
    """Return the unit that stands for ``path``: ``/var/lib`` gives ``var-lib.mount`` (systemd-escape --path)."""
    pieces = [piece for piece in path.split("/") if piece not in {"", "."}]
    return f"{escape('/'.join(pieces)) if pieces else '-'}.{suffix}"


def above(path: str) -> tuple[str, ...]:
    """Return ``path`` and every directory above it, the root last."""
    pieces = [piece for piece in path.split("/") if piece not in {"", "."}]
    return tuple("/" + "/".join(pieces[:length]) for length in range(len(pieces), -1, -1))


def expand(text: str, name: str) -> str:
    """Return ``text`` with the specifiers that depend on the unit's ``name`` or on fixed directories filled in.

    Others (``%H``, ``%m``, ...) depend on the running host; they stay as they are.
    """
    if "%" not in text:
        return text
    prefix, instance, _ = parts(name)
    stem = name.rpartition(".")[0]
    values = _DIRECTORIES | {
        "n": name,
        "N": stem,
        "p": prefix,
        "P": unescape(prefix),
        "i": instance,
        "I": unescape(instance),
        "j": prefix.rpartition("-")[2],
        "J": unescape(prefix.rpartition("-")[2]),
        "f": "/" + unescape(instance or prefix).lstrip("/"),
        "%": "%",
    }
    return re.sub("%(.)", lambda match: values.get(match[1], match[0]), text)
