# SPDX-License-Identifier: Apache-2.0
"""Expected trouble as a value: exceptions are for broken contracts only."""

import msgspec


class Trouble(msgspec.Struct, frozen=True):
    """A stable ``code`` (``layer.slug``), one sentence saying what and where, and one saying what to do."""

    code: str
    text: str
    hint: str = ""
