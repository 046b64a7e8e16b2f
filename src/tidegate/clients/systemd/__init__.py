# SPDX-License-Identifier: Apache-2.0
"""systemd: its manager over D-Bus, its notification socket, its journal.

``bus`` is a D-Bus connection over jeepney's sans-IO core, ``manager`` asks systemd about units,
``notify`` speaks sd_notify, ``journal`` is a handler for the standard library's logging.
"""
