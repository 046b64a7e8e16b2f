# SPDX-License-Identifier: Apache-2.0
"""The network between DRBD's nodes: addresses of this host, peers that do not answer, ports that a filter swallows.

These findings explain; whether a volume may be used without a peer is decided in ``usable``.
"""

from tidegate.core import ids
from tidegate.core.evidence import NetworkFacts, PeerReach, PortAnswer
from tidegate.core.finding import Finding
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.view import View


def judge(view: View) -> list[Finding]:
    """Return the findings about the network, as far as it was tried."""
    facts = view.network
    if facts is None:
        return []
    findings = _own(view, facts)
    for peer, reach in facts.peers.items():
        findings += _peer(view, peer, reach)
    return findings


def _own(view: View, facts: NetworkFacts) -> list[Finding]:
    return [
        _finding(
            view,
            "network.address-missing",
            f"DRBD is set to use {address}, and this host does not have it",
            waiting=view.now < view.policy.wait_grace,
            address=address,
        )
        for address, there in facts.local.items()
        if not there
    ]


def _peer(view: View, peer: NodeName, reach: PeerReach) -> list[Finding]:
    tried = ", ".join(reach.addresses)
    if reach.reachable is False:
        text = f"{peer} answers at none of its addresses ({tried})"
        return [
            _finding(view, "network.peer-silent", text, peer=peer, address=tried.partition(",")[0])
        ]
    codes = {
        PortAnswer.REFUSED: ("network.port-closed", "refuses connections to"),
        PortAnswer.SILENT: ("network.port-silent", "lives, and does not answer at"),
    }
    return [
        _finding(view, code, f"{peer} {does} {port}", peer=peer, port=port)
        for port, answer in reach.ports.items()
        if answer in codes
        for code, does in (codes[answer],)
    ]


def _finding(
    view: View, code: str, observed: str, *, waiting: bool = False, **context: str
) -> Finding:
    fact = view.snapshot.network
    return catalogue.finding(
        code,
        ids.HOST,
        observed,
        source=Source.NETWORK,
        age=view.age(fact),
        since=None if fact is None else fact.since,
        waiting=waiting,
        context=context,
    )
