# SPDX-License-Identifier: Apache-2.0
"""A boot explains itself: lines of a journal → events → phases → causes → two boots side by side.

A pure room: lines come in as values (``clients.journal`` reads them), one :class:`~tidegate.boot.model.BootAnalysis` comes out.
"""

from tidegate.boot.analysis import analyse, analyse_all
from tidegate.boot.compare import compare
from tidegate.boot.model import BootAnalysis, Comparison, Entry, Hints

__all__ = [
    "BootAnalysis",
    "Comparison",
    "Entry",
    "Hints",
    "analyse",
    "analyse_all",
    "compare",
]
