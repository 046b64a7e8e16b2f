# SPDX-License-Identifier: Apache-2.0
"""Do what was decided: an action becomes calls, its preconditions are read again at the last moment, its postcondition seen.

``perform`` picks the actuator for an action; ``pools``, ``instances``, ``units``, ``satellite`` act. Expected trouble comes back as an
:class:`~tidegate.core.action.Outcome`; nothing here decides whether something should be done.
"""
