# SPDX-License-Identifier: Apache-2.0
"""Write the pages that are made from code.

docs/configuration.md from the configuration model: keys, defaults, allowed values and what each is for. docs/findings.md from the
catalogues of finding codes: those of health, then those of the units of a boot. docs/causes.md from the causes of a boot.
"""

import ast
import re
import sys
from pathlib import Path

from tidegate.boot import codes as causes
from tidegate.config import environment, model, policy, values
from tidegate.health import catalogue
from tidegate.health.code import Code
from tidegate.units import codes

ROOT = Path(__file__).resolve().parent.parent
_OF_UNITS = """
## units

What `tidegate units plan` and `tidegate units check` find: made from `tidegate.units.codes`. Braces stand for what a finding names.
"""
_HEAD = """\
# Configuration

No file is needed on an ordinary host: the controllers, their certificates, the satellite's name and the pools are found from Incus itself, from
the environment of its unit and from LINSTOR's own client configuration. What is set here wins.

Files: `/etc/tidegate/tidegate.toml`, then `/etc/tidegate/conf.d/*.toml` in the order of their names. Stronger, key by key: the variables that
LINSTOR's own clients use (`LS_CONTROLLERS`, `LS_ROOT_CA`, `LS_USER_CERTIFICATE`, `LS_USER_KEY`, each also with `_FILE`, `LS_USERNAME`, `LS_PASSWORD`,
`LS_BEARER_TOKEN_FILE`), `TIDEGATE_…` variables, options of the command. A wrong or unknown key is an error that names the file, the key and what is
allowed; nothing is ignored.

Durations are seconds. This page is made from `src/tidegate/config` by `tools/make_docs.py`.
"""


def main(argv: list[str]) -> int:
    """Write the pages, or with ``--check`` say whether they are current."""
    pages = {
        "configuration.md": page(),
        "findings.md": findings(),
        "causes.md": causes.document(),
    }
    if argv == ["--check"]:
        current = (
            (ROOT / "docs" / name).read_text(encoding="utf-8") == text
            for name, text in pages.items()
        )
        return 0 if all(current) else 1
    for name, text in pages.items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
    return 0


def findings() -> str:
    """Return the whole page on findings."""
    return catalogue.document() + _OF_UNITS + "".join(map(_entry, codes.CODES.values()))


def _entry(code: Code) -> str:
    """Return one entry, as the catalogue of health writes its own."""
    who = ", person" if code.needs_person else ""
    head = f"\n### `{code.code}` ({code.grade}{who})\n\n{code.means}\n"
    return f"{head}\n- Expected: {code.expected}\n- What to do: {code.remedy}\n"


def page() -> str:
    """Return the whole page."""
    said = _docstrings()
    lines = [_HEAD]
    section = None
    for key in values.SCHEMA:
        head, _, name = key.rpartition(".")
        if head != section:
            section = head
            lines += [
                f"\n## [{section}]\n",
                "| key | default | allowed | variable | for |",
                "|---|---|---|---|---|",
            ]
        text = " ".join(said.get(name, {}).get(head, "").split()).replace("``", "`")
        cells = (
            f"`{name}`",
            _default(key),
            values.allowed(key),
            f"`{environment.variable(key)}`",
            text,
        )
        lines.append(
            "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def _default(key: str) -> str:
    value: object = model.Config()
    for part in key.split("."):
        value = getattr(value, part)
    return "found" if value in ("", ()) else f"`{value}`"


_OUR_NOTES = re.compile(r" \((?:facts/|contract\.md)[^)]*\)")
"""Where a rule comes from: for who reads the source, not for who sets a key."""


def _docstrings() -> dict[str, dict[str, str]]:
    """Return field -> section -> the string under it, from the source of the model; the class's own text under ""."""
    sections = {kind.__name__: name for name, kind in _sections().items()}
    found: dict[str, dict[str, str]] = {}
    for module in (model, policy, sys.modules["tidegate.core.backoff"]):
        assert module.__file__ is not None
        for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef) or node.name not in sections:
                continue
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    text = after.value.value if _is_text(after) else ""  # type: ignore[union-attr]
                    text = _OUR_NOTES.sub("", str(text))
                    found.setdefault(field.target.id, {})[sections[node.name]] = text
    return found


def _is_text(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _sections() -> dict[str, type]:
    config = model.Config()
    found = {
        name: type(getattr(config, name)) for name in config.__struct_fields__ if name != "origins"
    }
    found["recovery.backoff"] = type(config.recovery.backoff)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
