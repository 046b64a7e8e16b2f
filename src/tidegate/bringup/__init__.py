# SPDX-License-Identifier: Apache-2.0
"""Devices first: which kept DRBD resources may be brought up before the satellite, in which steps, and which are left to LINSTOR.

Pure. The steps are done by ``actuators/bringup.py``; seen on a real node in facts/early-observed.md.
"""
