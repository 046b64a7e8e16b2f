# SPDX-License-Identifier: Apache-2.0
"""Wiring and life cycle: what is observed, judged, decided, done and told, in one asyncio process.

``wiring``    configuration -> clients, probes, actuators
``observer``  one task per probe keeps the snapshot fresh; a hung source delays no other
``pace``      how often each source is looked at (pure)
``loop``      the only runner: report -> recovery.step -> actions -> outcomes, again and again
``keeper``    the map of what is wanted, kept on disk
``memory``    what recovery remembers, kept for as long as the boot lasts
``recorder``  what happened, to history and journal, off the loop
``control``   the socket that commands talk to
``orders``    what people ask of recovery: pause, resume, plan, one subject now
``views``     answers to commands, rendered here so that the commands stay small and quick
``direct``    the same observation without an agent, for commands on a host where none runs
``verdicts``  the gate's verdicts on what is seen, one after another
``gatekeeper``  the life of ``tidegate gate``: the agent's verdicts, or its own look, and always an end
``ending``    an event loop whose end waits for no thread
``service``   the life of ``tidegate agent``: signals, sd_notify, watchdog
"""
