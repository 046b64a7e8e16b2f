# SPDX-License-Identifier: Apache-2.0
"""Figures of a boot and of recovery, for Prometheus, for ``tidegate stats`` and for the textfile collector.

``values``    families of metrics, samples and histograms as plain values
``moments``   what a boot passes through: satellite listens, is ONLINE, volumes ready, last instance runs
``tally``     counts what happens while snapshots, reports, outcomes and Incus's own words go by
``families``  a tally, a snapshot and a report -> families of metrics
``expose``    families -> Prometheus's text; the only module that imports ``prometheus_client``, and only when called

The number of series is bounded: what is named by pool or instance is cut at :data:`~tidegate.metrics.families.MOST_NAMED`, the sums are always whole.
No clock here: every moment comes in, in seconds since boot.
"""
