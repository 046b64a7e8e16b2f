# SPDX-License-Identifier: Apache-2.0
"""What the agent decided and did, boot by boot, in one SQLite file: the agent alone writes it.

Losing it loses no instance: decisions rest on the world, never on this. A file that cannot be used is set aside and a new
one is begun; a disk that cannot be written is said once, and the agent goes on without.
"""
