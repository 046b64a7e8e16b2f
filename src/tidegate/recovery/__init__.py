# SPDX-License-Identifier: Apache-2.0
"""What to do next, when, and how often: a pure function of what is known, run again at every change.

================  ===========================================================================================
``state``         what recovery remembers: actions in flight, budgets by cause, what was given up
``desire``        who should run here and does not, in Incus's own order
``causes``        what a failed start says about its cause: the infrastructure's or the instance's own
``standing``      how each instance and pool stands: may it be acted on now, and if not, what it waits for
``local_truth``   what this node can do while no controller answers and our guard answers Incus in its place
``choose``        which actions begin now, and why the others not yet: budgets, order, limits
``settle``        what an outcome, and what is seen, change in the state
``comparison``    which volumes of a pool Incus does not know: read before a pool is validated
``sentence``      one sentence for people per step
``step``          the door: ``step(state, event, snapshot, report, policy) -> Step``
================  ===========================================================================================

The world is the truth, the state only saves needless repetition: started from an empty state at any moment (a crash of ours)
``step`` comes to the same end. Nothing here knows a clock: now is ``snapshot.at``.
"""
