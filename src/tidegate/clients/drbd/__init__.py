# SPDX-License-Identifier: Apache-2.0
"""DRBD through ``drbdsetup``: the kernel's own word on every resource of this node.

``events2`` parses lines, ``state`` folds them into values, ``status`` parses the JSON of ``status``
and ``show``, ``client`` runs the program. Needs neither LINSTOR nor Incus nor the network.
"""
