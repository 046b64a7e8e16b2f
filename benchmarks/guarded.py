# SPDX-License-Identifier: Apache-2.0
"""The stage of ``benchmarks.guard``: a controller with TLS, nginx and the guard as processes before it, and what asks them.

The controller is nginx, so that it costs next to nothing and what is measured is what stands before it. The load comes over plain
sockets with answers of known length, and costs some microseconds per request.
"""

import contextlib
import json
import os
import selectors
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
import trustme

ANSWER = json.dumps(
    [
        {
            "name": "incus-volume-4df9f0598bd14d73953151614428d298",
            "props": {"Aux/Incus/name": "incus-volume-c1", "Aux/Incus/type": "containers"},
            "resource_group_name": "remote",
        }
    ]
)
VERSION = '{"version":"1.34.0","rest_api_version":"1.28.0"}'
PATH = "/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dincus-volume-c1"
EVENTS = "/v1/events/drbd/promotion"
ACCEPT = "Accept: application/json\r\n"
EVENT = b"event: MayPromoteChanged\ndata: {}\n\n"
_NGINX = """
worker_processes 1; daemon off; pid {home}/nginx-{name}.pid; error_log {home}/nginx-{name}.log; worker_rlimit_nofile 16384;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 1h; default_type application/json;
  client_body_temp_path {home}/{name}-1; proxy_temp_path {home}/{name}-2; fastcgi_temp_path {home}/{name}-3;
  uwsgi_temp_path {home}/{name}-4; scgi_temp_path {home}/{name}-5;
  {body}
}}
"""
_CONTROLLER = """
  upstream events {{ server 127.0.0.1:{events}; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {home}/cert.pem; ssl_certificate_key {home}/key.pem;
    location = /v1/controller/version {{ return 200 '{version}'; }}
    location /v1/events/ {{ proxy_pass http://events; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h; }}
    location / {{ return 200 '{answer}'; }}
  }}
"""
_PROXY = """
  upstream controller {{ server 127.0.0.1:{controller}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass https://controller; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_read_timeout 1h; proxy_ssl_verify on; proxy_ssl_trusted_certificate {home}/ca.pem; proxy_ssl_name localhost;
    }}
  }}
"""


class Unusable(Exception):  # noqa: N818  a state of the machine
    """It cannot be measured here; the text says why."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be asked."""

    name: str
    port: int
    pids: tuple[int, ...]
    tls: bool = False


def free_port() -> int:
    """A port of the loopback that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# --- what stands there ------------------------------------------------------------------------


@contextlib.contextmanager
def standing(home: Path) -> Iterator[tuple[list[Place], "Events"]]:
    """Yield the controller itself, nginx before it and the guard before it, and the source of events behind it."""
    if shutil.which("nginx") is None:
        raise Unusable("nginx is not installed: apt-get install nginx-light")
    ca = trustme.CA()
    cert = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(str(home / "ca.pem"))
    cert.private_key_pem.write_to_path(str(home / "key.pem"))
    (home / "cert.pem").write_bytes(b"".join(one.bytes() for one in cert.cert_chain_pems))
    home.chmod(0o755)
    ports = [free_port() for _ in range(4)]
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(Events(ports[0]))
        body = _CONTROLLER.format(
            events=ports[0], port=ports[1], home=home, version=VERSION, answer=ANSWER
        )
        first = stack.enter_context(_nginx(home, "controller", body, ports[1]))
        body = _PROXY.format(controller=ports[1], port=ports[2], home=home)
        second = stack.enter_context(_nginx(home, "proxy", body, ports[2]))
        third = stack.enter_context(_guard(home, ports[1], ports[3]))
        yield (
            [
                Place(name="directly", port=ports[1], pids=_family(first), tls=True),
                Place(name="nginx", port=ports[2], pids=_family(second)),
                Place(name="guard", port=ports[3], pids=(third,)),
            ],
            events,
        )


@contextlib.contextmanager
def _nginx(home: Path, name: str, body: str, port: int) -> Iterator[int]:
    config = home / f"{name}.conf"
    config.write_text(_NGINX.format(home=home, name=name, body=body))
    with _process(["nginx", "-p", str(home), "-c", str(config)], port) as pid:
        yield pid


@contextlib.contextmanager
def _guard(home: Path, controller: int, port: int) -> Iterator[int]:
    config = home / "tidegate.toml"
    config.write_text(
        f'[linstor]\ncontrollers = ["https://localhost:{controller}"]\nca_file = "{home}/ca.pem"\n'
    )
    words = ["--listen", f"127.0.0.1:{port}", "--config", str(config), "--node", "n1"]
    with _process([sys.executable, "-m", "tidegate", "guard", *words], port) as pid:
        yield pid


@contextlib.contextmanager
def _process(words: list[str], port: int) -> Iterator[int]:
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield process.pid
        finally:
            process.terminate()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Unusable(f"{process.args!r} does not listen")


def _family(pid: int) -> tuple[int, ...]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *map(int, children))


class Events:
    """A source of server-sent events behind the controller: `tell` sends one to everybody who listens."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._streams: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                made, _ = self._listening.accept()
                made.recv(65536)
                made.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n"
                )
                self._streams.append(made)

    def forget(self) -> None:
        """Let go of everybody who listens."""
        for one in self._streams:
            one.close()
        self._streams.clear()

    def tell(self) -> None:
        """Send one event to all."""
        for one in self._streams:
            with contextlib.suppress(OSError):
                one.sendall(EVENT)


# --- what asks --------------------------------------------------------------------------------


def request(port: int, path: str = PATH, more: str = "") -> bytes:
    """The bytes of a request as Incus makes it."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"{more or ACCEPT}\r\n"
    ).encode()


def _connected(place: Place, ca: Path) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", place.port), 20)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if place.tls:
        return ssl.create_default_context(cafile=str(ca)).wrap_socket(
            made, server_hostname="localhost"
        )
    return made


def _exchange(connection: socket.socket, sent: bytes) -> int:
    connection.sendall(sent)
    found = b""
    while not found.endswith(ANSWER[-40:].encode()):
        piece = connection.recv(65536)
        if not piece:
            raise Unusable("the connection was closed")
        found += piece
    return len(found)


def latencies(place: Place, ca: Path, count: int) -> list[float]:
    """Milliseconds of ``count`` requests, one after another on one connection, after some for nothing."""
    sent = request(place.port)
    with _connected(place, ca) as connection:
        for _ in range(50):
            _exchange(connection, sent)
        found = []
        for _ in range(count):
            began = time.perf_counter()
            _exchange(connection, sent)
            found.append((time.perf_counter() - began) * 1000)
        return found


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking as fast as it goes."""

    per_second: float
    cpu: float
    """Microseconds of CPU that the place asked took per request."""
    p50: float
    p99: float
    """Milliseconds."""


def load(place: Place, ca: Path, *, connections: int, seconds: float) -> Load:
    """Ask over so many connections at once, each again as soon as it is answered."""
    sent = request(place.port)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        asking = [stack.enter_context(_connected(place, ca)) for _ in range(connections)]
        length = [_exchange(one, sent) for one in asking].pop()
        open_since: dict[socket.socket, float] = {}
        left = dict.fromkeys(asking, length)
        times: list[float] = []
        cpu, began = cpu_of(place.pids), time.perf_counter()
        for one in asking:
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ, one)
            open_since[one] = time.perf_counter()
            one.sendall(sent)
        until = began + seconds
        while time.perf_counter() < until:
            for key, _ in selector.select(1.0):
                answered: socket.socket = key.data
                left[answered] -= len(answered.recv(65536))
                if left[answered] > 0:
                    continue
                now = time.perf_counter()
                times.append((now - open_since[answered]) * 1000)
                left[answered], open_since[answered] = length, now
                answered.sendall(sent)
        took, spent = time.perf_counter() - began, cpu_of(place.pids) - cpu
    cuts = statistics.quantiles(times, n=100)
    return Load(
        per_second=len(times) / took,
        cpu=spent / len(times) * 1e6,
        p50=statistics.median(times),
        p99=cuts[98],
    )


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """What many idle streams cost, and how one event reached all of them."""

    told: int
    delivery: float
    """Milliseconds from the event to the last listener's having it."""
    p50: float
    """Milliseconds of an ordinary request meanwhile."""
    memory: float
    per_stream: float
    """KiB that each added."""


def streams(place: Place, events: Events, ca: Path, count: int) -> Streams:
    """Hold ``count`` idle streams, ask beside them, and send one event to all."""
    sent = request(place.port, EVENTS, "Accept: text/event-stream\r\n")
    events.forget()
    before = memory_of(place.pids)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(count):
            one = stack.enter_context(_connected(place, ca))
            one.sendall(sent)
            while b": hello" not in one.recv(65536):
                pass
            selector.register(one, selectors.EVENT_READ, one)
        held = memory_of(place.pids)
        p50 = statistics.median(latencies(place, ca, 500))
        began = time.perf_counter()
        threading.Thread(target=events.tell, daemon=True).start()
        told = 0
        while told < count and time.perf_counter() - began < 20:
            for key, _ in selector.select(1.0):
                told += b"MayPromote" in key.data.recv(65536)
                selector.unregister(key.fileobj)
        delivery = (time.perf_counter() - began) * 1000
    return Streams(
        told=told,
        delivery=delivery,
        p50=p50,
        memory=held / 1024,
        per_stream=(held - before) / count,
    )


# --- what it costs ----------------------------------------------------------------------------


def cpu_of(pids: tuple[int, ...]) -> float:
    """Seconds of CPU that processes took so far."""
    ticks = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_of(pids: tuple[int, ...]) -> float:
    """KiB of memory that are theirs alone, and their share of what they share."""
    found = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found += int(line.split()[1])
    return float(found)
