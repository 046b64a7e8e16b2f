# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR API proxy between Incus and the controllers.

Two halves that meet in `guard.interface`: the transport (`server` and what it uses) moves bytes and knows no rule; the rules
(`rules*`) say what is answered to the few calls that concern them and move no bytes.
"""
