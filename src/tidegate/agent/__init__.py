# SPDX-License-Identifier: Apache-2.0
"""Wiring and life cycle: what is observed, judged, decided, done and told, in one asyncio process; and what its commands share with it.

The agent's loop
    ``service``   the life of ``tidegate agent``: signals, sd_notify, watchdog
    ``wiring``    configuration -> clients, probes, actuators
    ``observer``  one task per probe keeps the snapshot fresh; a hung source delays no other
    ``needs``     what the probes should look at, from what is wanted (pure)
    ``pace``      how often each source is looked at (pure)
    ``bell``      what wakes the one who looks at a source
    ``listening``  keeps one listener of events listening, within a budget
    ``loop``      the only runner: report -> recovery.step -> actions -> outcomes, again and again
    ``tidy``      what the process does for itself when it has come to rest
    ``ending``    an event loop whose end waits for no thread

What it keeps
    ``keeper``    the map of what is wanted, kept on disk
    ``memory``    what recovery remembers, kept for as long as the boot lasts
    ``recorder``  what happened, to history and journal, off the loop
    ``muting``    the mutes of this node

What is asked of it
    ``control``   the socket that commands talk to
    ``views``     answers to commands, rendered here so that the commands stay small and quick
    ``orders``    what people ask of recovery: pause, resume, plan, one subject now
    ``web``, ``webdoor``        metrics, health, the status page; and the sockets that are there before them
    ``meter``, ``starts``, ``afterwards``  what goes by, what Incus logs, and a boot's whole journal, to the metrics
    ``verdicts``  the gate's verdicts on what is seen, one after another

Without it
    ``setup``, ``discovery``, ``boot``  configuration, controllers and name, which boot this is: from the host itself
    ``direct``    the same observation for commands on a host where no agent runs
    ``offline``   snapshots saved there and judged here
    ``waiting``   what ``linstor-wait-until`` waits for

Lives of their own, each of a command that may be a unit
    ``gatekeeper``  ``tidegate gate``: the agent's verdicts, or its own look, and always an end
    ``bringing``  ``tidegate devices``
    ``guard…``    ``tidegate guard``: ``guardservice`` is its life, ``guarding`` and ``guardview`` what the agent answers it,
                  ``guardprobe`` how the agent sees it, ``guardsetup`` and ``guardrecord`` enable and disable it
    ``unit…``     ``tidegate units``: ``unitview`` and ``unitplace`` look at the host, ``unitproof`` asks systemd before a file is
                  written, ``unitchange`` writes for other rooms, ``unitdrift`` and ``unitcheck`` look afterwards
    ``tune…``     ``tidegate tune``: ``tuneview`` gathers what ``tunecommands``, ``tunedisks``, ``tuneincus``, ``tunelinks`` and
                  ``tuneservice`` find; ``tuning`` applies and takes back; ``archiving`` makes the satellite's class-data archive
"""
