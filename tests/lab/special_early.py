# SPDX-License-Identifier: Apache-2.0
"""A client touches Incus's socket as early as it is there (U6): it waits as all do, and changes nothing."""

from tests.lab import observe, promises, scenarios, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

SAYS = "a client that touches Incus's socket early, with the gate"
SCENARIO = "s1"
_UNIT = "early-client.service"
_CLIENT = """[Unit]
Description=A client that asks Incus for its instances before the boot is over
DefaultDependencies=no
After=incus.socket
[Service]
ExecStart=/usr/bin/incus list
Environment=HOME=/root
Type=oneshot
RemainAfterExit=yes
"""


def tell(tale: tales.Tale) -> None:
    """s1 with the client in it."""
    what = scenarios.SCENARIOS[SCENARIO]
    with tale.scene(Variant.GATE) as scene:
        scene.each.write(f"{variants.SYSTEM}/{_UNIT}", _CLIENT)
        scene.each.link(
            f"{variants.SYSTEM}/sockets.target.wants/{_UNIT}", f"{variants.SYSTEM}/{_UNIT}"
        )
        scene.boot(what.faults)
        scene.watch(10)
        client = scene.unit(_UNIT)
        tale.expect(client == "activating", "the client waits while the gate holds", client)
        tale.expect_all_run(scene, what.fault_end + promises.HELD * 2, "with an early client")
        first = min((scene.ran(name) or 0.0 for name in scene.names), default=0.0)
        tale.expect(first > what.fault_end, "none is started before its storage is ready", first)
        scene.watch(scene.each.now() + 5, lambda: scene.unit(_UNIT) == "active")
        tale.expect(scene.unit(_UNIT) == "active", "the client is answered", scene.unit(_UNIT))
        spent = observe.attempts(scene.journal())
        tale.expect(spent == 0, "Incus spends no attempt", spent)
        said = scene.tidegate("units", "check", check=False)
        kept = "every order was kept" in said and "systemd" in said.splitlines()[0]
        tale.expect(
            kept, "units check: every order of this boot was kept, by systemd's times", said
        )
