# SPDX-License-Identifier: Apache-2.0
"""Faster to ready: from what was measured on this host to advice with its gain, and from boots before and after to a result. Pure."""
