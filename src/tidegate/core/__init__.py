# SPDX-License-Identifier: Apache-2.0
"""The language all rooms speak: who is meant, what was seen, what it is worth, what shall be done.

=================  ==========================================================================================
``ids``            names as distinct types, and :class:`~tidegate.core.ids.Subject`, what a finding is about
``facts``          what can be observed of the host, LINSTOR, DRBD, devices and Incus, as plain values
``snapshot``       every fact with its source and age, and which sources are alive
``wanted``         the map of what should run here and which volumes it needs, kept from the last good moment
``finding``        a graded verdict with evidence and remedy, and the report made of them
``action``         what may be done, and what came of it
``backoff``        budgets: how soon something may be tried again
=================  ==========================================================================================

No I/O, no clock, no chance: every moment is given in seconds of ``CLOCK_BOOTTIME`` by the caller.
"""
