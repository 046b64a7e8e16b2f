#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record ``tidegate demo`` for the README: run it on a pseudo-terminal and draw its last screen as docs/demo.svg.

    .venv/bin/python tools/record_demo.py [FILE]

Only what the demo uses of a terminal is understood: colours, cursor up, erase line. Any other sequence is an error, so that a
change of the demo cannot be recorded wrongly without notice.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 112, 60
_WITHIN = 120.0

Cell = tuple[str, str]
"""A character and the class of its style."""
_CLASSES = {"1": "bold", "2": "dim", "31": "bad", "32": "good", "33": "warn", "36": "aside"}
_TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|(\r?\n)|([^\x1b\r\n])")

_CHAR, _LINE, _MARGIN, _SIZE = 8.0, 18.0, 18.0, 13.5
_STYLE = """
    .paper { fill: #fbfbf8; stroke: #d7d7d0 }
    text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #2b2f33 }
    .bold { font-weight: 600 } .dim { fill: #8a8f94 } .bad { fill: #c0352b } .good { fill: #1d7f45 }
    .warn { fill: #9a6a00 } .aside { fill: #0b7285 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #15181c; stroke: #2c3238 }
      text { fill: #d8dce0 } .dim { fill: #767d84 } .bad { fill: #f0776c } .good { fill: #5ccb8a }
      .warn { fill: #e0b050 } .aside { fill: #55c5d6 }
    }
"""


def record(command: list[str]) -> str:
    """Run ``command`` on a pseudo-terminal and return all that it wrote."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=ROOT
    ) as process:
        os.close(follower)
        written = b"".join(_read(leader))
        code = process.wait(_WITHIN)
    os.close(leader)
    if code != 0:
        sys.stderr.write(written.decode(errors="replace"))
        raise SystemExit(f"{command} ended with {code}: nothing was recorded")
    return written.decode()


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # the other end is closed: the program has ended
            return
        if not data:
            return
        yield data


def screen(written: str) -> list[list[Cell]]:
    """Return what stands on the terminal at the end."""
    lines: list[list[Cell]] = [[]]
    row, style, end = 0, "", 0
    for token in _TOKEN.finditer(written):
        if token.start() != end:
            raise SystemExit(f"not understood: {written[end : end + 20]!r}")
        end = token.end()
        codes, letter, newline, char = token.groups()
        if newline:
            row += 1
            lines.extend([] for _ in range(row + 1 - len(lines)))
        elif char:
            lines[row].append((char, style))
        elif letter == "m":
            style = _CLASSES[codes] if codes not in {"", "0"} else ""
        elif letter == "F":
            row -= int(codes)
        elif (codes, letter) == ("2", "K"):
            lines[row] = []
        else:
            raise SystemExit(f"not understood: {token.group()!r}")
    return lines


def draw(lines: list[list[Cell]], title: str) -> str:
    """Return the lines as SVG; every run is stretched to its columns, so that lanes line up in any font."""
    while lines and not "".join(char for char, _ in lines[-1]).strip():
        lines.pop()
    columns = max(len(line) for line in lines)
    width, height = columns * _CHAR + 2 * _MARGIN, len(lines) * _LINE + 2 * _MARGIN
    body = []
    for number, line in enumerate(lines):
        y = _MARGIN + (number + 0.75) * _LINE
        body += [f"  {run}\n" for run in _runs(line, y)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        f' role="img" font-size="{_SIZE:g}">\n'
        f"  <title>{escape(title)}</title>\n  <style>{_STYLE}  </style>\n"
        f'  <rect class="paper" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>\n'
        f"{''.join(body)}</svg>\n"
    )


def _runs(line: list[Cell], y: float) -> Iterator[str]:
    column = 0
    for style, cells in groupby(line, key=lambda cell: cell[1]):
        text = "".join(char for char, _ in cells)
        name = f' class="{style}"' if style else ""
        for words in re.finditer(r"\S+(?: \S+)*", text):
            x, length = _MARGIN + (column + words.start()) * _CHAR, len(words.group()) * _CHAR
            yield (
                f'<text x="{x:g}" y="{y:g}" textLength="{length:g}" lengthAdjust="spacingAndGlyphs"{name}>'
                f"{escape(words.group())}</text>"
            )
        column += len(text)


def main() -> None:
    """Record, and write the file."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "demo.svg"
    written = record([sys.executable, "-m", "tidegate", "demo"])
    svg = draw(screen(written), "tidegate demo: the race between boot and storage")
    target.write_text(svg, encoding="utf-8")
    print(f"{target}: {len(svg) // 1024} KiB")


if __name__ == "__main__":
    main()
