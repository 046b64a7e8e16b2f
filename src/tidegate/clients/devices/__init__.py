# SPDX-License-Identifier: Apache-2.0
"""Device nodes: are they there, what are they, do they open, what do they carry.

Opening a DRBD device may block for ever (facts/incus.md L75), so it happens in small processes of
their own: ``opener`` is the program they run, ``client`` keeps them and gives up on those that hang.
``host`` reads the few files that tell of DRBD's module, LINSTOR's satellite and open ports.
"""
