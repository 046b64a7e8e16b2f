# SPDX-License-Identifier: Apache-2.0
"""Advice and results as a person reads them."""

from collections.abc import Iterator, Mapping, Sequence

from tidegate.report.terminal import Style, Terminal

Advised = Mapping[str, object]
"""One piece of advice as JSON has it: ``id``, ``title``, ``gain``, ``source``, ``evidence``, ``change``, ``risk``, ``undo``, ``by``."""


def render(
    advised: Sequence[Advised],
    missing: Sequence[str],
    own: Mapping[str, float],
    terminal: Terminal,
) -> str:
    """Return the page of ``tidegate tune``."""
    lines = list(_advice(advised, terminal))
    if not advised:
        lines.append(
            "nothing to advise: no change that is known would make this host's boots shorter"
        )
    if own:
        shares = ", ".join(f"{unit} {seconds:.1f} s" for unit, seconds in own.items())
        lines += ["", f"our own part of this boot: {shares}"]
    if missing:
        lines += ["", "not judged:", *(f"  {one}" for one in missing)]
    return "\n".join(lines) + "\n"


def _advice(advised: Sequence[Advised], terminal: Terminal) -> Iterator[str]:
    for number, one in enumerate(advised):
        if number:
            yield ""
        gain = terminal.paint(f"{one['gain']:5.1f} s", Style.BOLD)
        yield f"{gain}  {one['title']}  ({one['id']})"
        yield f"         figure  {one['source']}"
        evidence = one["evidence"]
        assert isinstance(evidence, Sequence)
        yield from (f"         seen    {seen}" for seen in evidence)
        yield f"         change  {one['change']}"
        yield f"         risk    {one['risk']}"
        yield f"         undo    {one['undo']}"
        mine = one["by"] == "tidegate tune apply"
        yield f"         do it   {one['by']} {one['id']}" if mine else "         do it   by hand"
