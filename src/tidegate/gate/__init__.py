# SPDX-License-Identifier: Apache-2.0
"""May these subjects be used now, shall one wait on, or is waiting useless? ``decide.decide`` is the door. Pure."""
