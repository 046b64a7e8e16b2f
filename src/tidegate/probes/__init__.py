# SPDX-License-Identifier: Apache-2.0
"""Observe: what clients read -> :class:`~tidegate.core.snapshot.Observation`, with "source up, starting, lost, off".

``base``         what a probe is, what it is told to look at, and the limit every look has
``host``, ``systemd``, ``linstor``, ``drbd``, ``devices``, ``incus``, ``network``, ``journal``   one per source; none waits for another
``translate_…``  pure: the words of one system -> facts
"""
