# SPDX-License-Identifier: Apache-2.0
"""How our pages look: one style sheet for the status page and the page of a boot; light and dark, phone, print. No outside resource.

Colours are told apart by more than hue: a grade is always a word as well. Contrast of text is 4.5 : 1 or more on both grounds.
"""

import base64
import hashlib
import html
from typing import Final

STYLE: Final = """\
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;--ok:#116329;--degraded:#7d4e00;--unknown:#0a5d8f;
--failing:#b3141f;--accent:#0a5d8f}
@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--soft:#9aa5b1;--line:#30363d;--card:#161b22;--ok:#5bd075;--degraded:#e3b341;
--unknown:#79c0ff;--failing:#ff8a80;--accent:#79c0ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--ground);color:var(--text);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:1.6rem 0 .5rem}h3{font-size:1rem;margin:.8rem 0 .2rem}
p{margin:.3rem 0}.soft{color:var(--soft)}code,pre,.mono{font-family:ui-monospace,monospace;font-size:.87em}
a{color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.ok{color:var(--ok)}.degraded{color:var(--degraded)}.unknown{color:var(--unknown)}.failing{color:var(--failing)}
.grade{font-weight:700}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}thead th{white-space:nowrap}
.wide{overflow-x:auto}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .9rem;margin:.6rem 0}
details>summary{cursor:pointer}details[open]>summary{margin-bottom:.3rem}
ol.lines{list-style:none;margin:.2rem 0;padding:0}ol.lines li{padding:.1rem 0;white-space:pre-wrap}
button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.2rem .7rem;cursor:pointer}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem}
@media (max-width:40rem){body{padding:.6rem}th,td{padding-right:.35rem}}
@media print{:root{color-scheme:light;--ground:#fff;--text:#000;--soft:#333;--line:#999;--card:#fff;--ok:#000;--degraded:#000;--unknown:#000;--failing:#000}
button,.noprint{display:none}.card{break-inside:avoid}}
"""


def text(value: object) -> str:
    """Return ``value`` as text of a page: markup escaped, control characters made visible. Everything from outside passes here."""
    shown = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in str(value))
    return html.escape(shown, quote=True)


def page(*, title: str, body: str, style: str, script: str, connect: bool = False) -> str:
    """Return a whole page that loads nothing from anywhere; its own policy forbids it.

    Args:
        title: Plain text.
        body: HTML; whatever came from outside in it went through :func:`text`.
        style: CSS of this page besides :data:`STYLE`.
        script: JavaScript of this page; "" for none.
        connect: True where the script may ask the server that the page came from.
    """
    css = STYLE + style
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(css, script, connect=connect)}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<title>{text(title)}</title>\n<link rel="icon" href="data:,">\n<style>{css}</style>\n</head>\n<body>\n{body}\n'
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def policy(style: str, script: str, *, connect: bool) -> str:
    """Return the Content-Security-Policy of a page with exactly this style and script."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
        + (f"; script-src '{_hash(script)}'" if script else "")
        + ("; connect-src 'self'" if connect else "")
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
