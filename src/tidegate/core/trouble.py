# SPDX-License-Identifier: Apache-2.0
"""Expected trouble as a value: exceptions are for broken contracts only."""

import msgspec


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, where, and what to do about it.

    ``code`` is stable (``layer.slug``: "controller.refused"); ``text`` says what and where (with the URL or path); ``hint``
    says what a person can do. Neither text nor hint ever holds a secret.
    """

    code: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.code})" + (f"; {self.hint}" if self.hint else "")
