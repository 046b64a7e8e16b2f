# SPDX-License-Identifier: Apache-2.0
"""Model of the Incus daemon 7.0.2 of one node: what it does at boot, to pools and to instances, on the virtual clock.

No I/O, no clock but :class:`tidegate.sim.clock.VirtualClock`, no chance but a seed. Rules carry their source: ids as ``C3``, ``A6``,
``D62`` are those of facts/incus.md; what was observed on a real Incus (facts/observed.md, the recorded boots) wins over them.

Who knows what:

- :mod:`values`: what a scenario declares: server, pools, projects, instances, custom volumes.
- :mod:`timings`: every duration, those of Incus's own waits apart, so that a demo can shrink them.
- :mod:`tasks`: procedures as generators on the virtual clock, the model's goroutines.
- :mod:`world`: what outlives an incusd process: the database, running instances, the journal.
- :mod:`pools`, :mod:`instances`, :mod:`autostart`, :mod:`operations`, :mod:`events`: parts of one incusd process.
- :mod:`daemon`: one incusd process, from its start to its end, and what its API does.
- :mod:`units`: incus.socket, incus.service, incus-startup.service as systemd runs them.
- :mod:`views`: the JSON that the REST API shows of all this.
- :mod:`model`: the door: :class:`model.IncusModel`.
"""
