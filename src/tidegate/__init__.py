# SPDX-License-Identifier: Apache-2.0
"""Tidegate: servers that run Incus on LINSTOR/DRBD come back from a reboot by themselves.

The rooms of this package, and which may import which, are described in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
