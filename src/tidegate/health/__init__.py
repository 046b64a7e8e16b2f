# SPDX-License-Identifier: Apache-2.0
"""What the facts are worth: a snapshot goes in, a report of graded findings comes out. No I/O, no clock, no memory.

=================  ==========================================================================================
``judge``          the door: ``judge(snapshot, policy) -> Report``
``why``            from a subject down the chain to the first cause and its remedy
``wanted``         ``draw``: the map of what should run here, to be kept for the next boot
``catalogue``      every finding code with its meaning and remedy (``docs/findings.md`` is made of it)
``view``           the snapshot with its indexes, made once for a judgement, and what of it can be believed
``mapping``        Incus's volumes found among LINSTOR's resource definitions
``wants``          who should run here, and what they need
``usable``         the rule against split brain, a pure function
``opinion``        what every layer hands to ``judge``
``host`` …         one file per layer of the chain (docs/architecture.md): host, controller, satellite, storage_pool,
                   volume (with device), incus, pool, instance
=================  ==========================================================================================

A layer speaks only for itself: what it rests on is named, not judged again. ``ready`` is true exactly when no own finding is
``failing`` or ``unknown``.
"""
