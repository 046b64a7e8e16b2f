# SPDX-License-Identifier: Apache-2.0
"""The bus and the systemd that the tests of its client use."""

from tests.unit.clients.systemd.conftest import daemon, manage, systemd

__all__ = ["daemon", "manage", "systemd"]
