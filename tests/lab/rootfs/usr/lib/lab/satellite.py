#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
"""The boot lab's satellite where its unit is Type=notify: says READY=1 once the controller calls this node ONLINE, then only stays.

A real one says it at the end of its first run, whatever became of single resources (facts/linstor.md 2.2); the simulator's run is
over when the node is ONLINE.
"""

import http.client
import json
import os
import socket
import time

CONTROLLER = ("linstor-controller", 3370)
AGAIN = 0.2
PATIENCE = 2.0


def online() -> bool:
    """Whether the controller has spoken to this node and is done with it."""
    line = http.client.HTTPConnection(*CONTROLLER, timeout=PATIENCE)
    try:
        line.request("GET", f"/v1/nodes/{socket.gethostname()}")
        node = json.loads(line.getresponse().read())
        return bool(node["connection_status"] == "ONLINE")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        line.close()


def main() -> None:
    """Wait, tell systemd, become what costs nothing."""
    while not online():
        time.sleep(AGAIN)
    path = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(b"READY=1", path.replace("@", "\0", 1) if path.startswith("@") else path)
    os.execv("/usr/bin/sleep", ["sleep", "infinity"])


if __name__ == "__main__":
    main()
