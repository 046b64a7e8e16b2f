"""Small LINSTOR worlds for tests, and short ways to ask them."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tidegate.sim import consistency, faults
from tidegate.sim.faults import Fault as Fault  # noqa: PLC0414 - re-exported for tests
from tidegate.sim.faults import FaultKind as FaultKind  # noqa: PLC0414
from tidegate.sim.linstor import answer, api, world

GROUP = "remote"


def props(name: str, kind: str = "containers") -> dict[str, str]:
    """What Incus writes on a resource definition."""
    return {
        "Aux/Incus/name": f"incus-volume-{name}",
        "Aux/Incus/type": kind,
        "Aux/Incus/content-type": "filesystem",
    }


def layout(
    count: int = 3, *, peers: int = 1, plain: bool = False, crashed: bool = False
) -> faults.Layout:
    """Node n1 with ``count`` containers' volumes r0, r1, … and as many further nodes as ``peers``.

    ``plain``: without DRBD, on a FILE_THIN pool, n1 alone. ``crashed``: n1 was Primary of r0 when its power went.
    """
    names = [f"n{i + 1}" for i in range(1 + peers)]
    kind, backing = ("FILE_THIN", "/srv/pool") if plain else ("LVM_THIN", "vg0/thin")
    return faults.Layout(
        nodes=tuple(
            faults.NodeSpec(name=n, address=f"10.99.0.1{n[1]}", drbd=not plain) for n in names
        ),
        pools=tuple(
            faults.PoolSpec(name="pool", node=n, kind=kind, backing=backing) for n in names
        ),
        groups=(
            faults.GroupSpec(name=GROUP, storage_pool="pool", layers=("STORAGE",) if plain else ()),
        ),
        resources=tuple(
            faults.ResourceSpec(
                name=f"r{i}",
                nodes=("n1",) if plain else tuple(names[:2]),
                diskless=() if plain else tuple(names[2:3]),
                layers=("STORAGE",) if plain else ("DRBD", "STORAGE"),
                props=props(f"c{i}"),
                crashed=crashed and i == 0,
            )
            for i in range(count)
        ),
    )


def build(
    *found: faults.Fault,
    made: faults.Layout | None = None,
    timings: faults.Timings = faults.INSTANT,
    seed: int = 0,
    booted: bool = True,
) -> world.LinstorWorld:
    """A world at the boot of n1, checked for sense."""
    scenario = faults.Scenario(
        name="test", layout=made or layout(), faults=found, timings=timings, seed=seed
    )
    consistency.check_scenario(scenario)
    one = world.LinstorWorld(scenario)
    if booted:
        one.boot()
        one.settle()
    return one


def request(method: str, path: str, body: object = None) -> answer.Request:
    """A request, its query in ``path``."""
    url = urlsplit(path)
    return answer.Request(
        method=method,
        path=url.path,
        query=parse_qs(url.query, keep_blank_values=True),
        body=json.dumps(body).encode() if body is not None else b"",
    )


def call(
    one: world.LinstorWorld, method: str, path: str, body: object = None, *, limit: float = 0.0
) -> answer.Answer | None:
    """The answer, if it comes within ``limit`` virtual seconds."""
    return one.calls.run(api.Api(one).call(request(method, path, body)), limit=limit)


def get(one: world.LinstorWorld, path: str) -> Any:
    """The body of an answer that comes at once and is 200."""
    got = call(one, "GET", path)
    assert got is not None, f"GET {path} waits"
    assert got.status == 200, got
    return got.body


def post(
    one: world.LinstorWorld, path: str, body: object = None, *, limit: float = 0.0
) -> answer.Answer:
    """The answer of a POST that comes within ``limit`` virtual seconds."""
    got = call(one, "POST", path, body if body is not None else {}, limit=limit)
    assert got is not None, f"POST {path} waits"
    return got


def status(one: world.LinstorWorld, node: str = "n1") -> str:
    """What the controller says of a node."""
    text: str = get(one, f"/v1/nodes/{node}")["connection_status"]
    return text


def shown(one: world.LinstorWorld, name: str, node: str = "n1") -> Any:
    """A placed resource, as the endpoint that asks no satellite shows it."""
    return get(one, f"/v1/resource-definitions/{name}/resources/{node}")


def path_of(one: world.LinstorWorld, name: str, node: str = "n1") -> str | None:
    """The device path of volume 0, as Incus gets it."""
    found = get(one, f"/v1/resource-definitions/{name}/resources/{node}/volumes")[0]
    text: str | None = found.get("device_path")
    return text


def until(one: world.LinstorWorld, wanted: str, *, limit: float = 120.0, node: str = "n1") -> float:
    """Advance until the node has a status; returns when. Each step is checked for impossible states."""
    end = one.now + limit
    while status(one, node) != wanted:
        due = one.clock.next_due()
        assert due is not None, f"never {wanted}"
        assert due <= end, f"not {wanted} within {limit} s"
        one.clock.advance(due)
        one.calls.poke()
        consistency.check(one)
    return one.now


def advance(one: world.LinstorWorld, moment: float) -> None:
    """Let time pass, step by step, each checked for impossible states."""
    while (due := one.clock.next_due()) is not None and due <= moment:
        one.clock.advance(due)
        one.calls.poke()
        consistency.check(one)
    one.clock.advance(moment)
    one.calls.poke()
    consistency.check(one)
