# SPDX-License-Identifier: Apache-2.0
"""What a reader could not read, told once per kind and counted."""


class Notes:
    """Troubles of reading, by text; ``lines`` gives them as sentences."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, text: str) -> None:
        """Count one more of ``text``; at most a hundred different texts are kept."""
        if text in self._counts or len(self._counts) < 100:
            self._counts[text] = self._counts.get(text, 0) + 1

    def lines(self) -> tuple[str, ...]:
        """One sentence per trouble."""
        return tuple(
            text if count == 1 else f"{text} ({count} times)"
            for text, count in self._counts.items()
        )
