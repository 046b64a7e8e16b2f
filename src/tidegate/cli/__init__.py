# SPDX-License-Identifier: Apache-2.0
"""The command ``tidegate``: argparse, one file per command, each imported only when it is called.

A command that the agent can answer asks it over its socket with the standard library alone: that is what keeps ``status``
within the time a unit or a hook can spare. Where no agent answers, the command looks for itself.
"""
