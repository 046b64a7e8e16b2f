# SPDX-License-Identifier: Apache-2.0
"""Incus over its unix socket: what it answers, typed, and the few calls that change something.

``wire`` holds the shapes, ``answers`` says what an answer means, ``client`` makes calls, ``events``
reads the event stream, ``socket`` finds the socket.

A connection starts the daemon if it is not running (facts/incus.md R7): whoever calls asks systemd
first. While the daemon starts, everything but ``/internal`` gets no answer at all (C3): that is
``incus.timeout`` here, and it means "starting", not "dead".
"""
