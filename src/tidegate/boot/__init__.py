# SPDX-License-Identifier: Apache-2.0
"""A boot explains itself: lines of a journal → events → phases → causes → two boots side by side.

A pure room: lines come in as values (``clients.journal`` reads them), one :class:`~tidegate.boot.model.BootAnalysis` comes out.
"""
