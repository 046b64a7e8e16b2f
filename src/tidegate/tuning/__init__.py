# SPDX-License-Identifier: Apache-2.0
"""Faster to ready: from what was measured on this host to advice with its gain, and from boots before and after to a result. Pure.

``facts`` is what is known of a host, ``figure`` where a number comes from. ``rules_*`` find advice, one function for each; ``host`` puts them
together, with what was looked at and gains nothing, and what could not be judged. ``jvm`` and ``archive`` are about options of a JVM and its
archive of classes. ``result`` holds boots before a change against boots after it.
"""
