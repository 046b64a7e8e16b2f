# SPDX-License-Identifier: Apache-2.0
"""The model of a LINSTOR cluster: controller, satellites, their devices, and what REST says about them.

``world`` is the door: :class:`tidegate.sim.linstor.world.LinstorWorld`. Behaviour as in facts/linstor.md and
facts/linstor-observed.md (the latter wins); the letters and numbers in comments (A1, A4, 6.2 …) are theirs.
"""
