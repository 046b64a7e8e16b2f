# SPDX-License-Identifier: Apache-2.0
"""Lines of a journal or a log as values (``boot.model.Entry``), whatever form they are kept in; protocol only, no judgement.

The readers are plain generators, not coroutines: an analysis reads a million lines in one go, and runs in a thread of its own where
somebody else must stay responsive. Every reader bounds what one line may be, and tells its troubles in :class:`Notes` instead of
raising: half a journal is better than none.
"""
