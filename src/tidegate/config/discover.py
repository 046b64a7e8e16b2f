# SPDX-License-Identifier: Apache-2.0
"""What Incus and the LINSTOR clients of this host already know -> controllers, certificates, node name. Pure.

On an ordinary host nothing needs to be configured. What Incus itself uses comes first, because an instance starts only if *it*
reaches its controller; what was found when Incus could last be asked stands in while incusd does not run.
"""

import configparser
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tidegate.config import controllers
from tidegate.config.model import Config, LinstorConfig
from tidegate.core import wanted as wanted_map
from tidegate.core.ids import NodeName
from tidegate.core.trouble import Trouble

CLIENT_CONF: Final = "/etc/linstor/linstor-client.conf"
SATELLITE_TOKEN: Final = "/var/lib/linstor.d/auth.json"  # noqa: S105 - a path
"""Where a controller with token authentication leaves this node's token (facts/linstor.md 10)."""
LOCALHOST: Final = "http://localhost:3370"
"""golinstor's own default, and so Incus's (facts/incus.md L40)."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the shells found on this host. None: could not be asked; empty: asked, and nothing there."""

    hostname: str
    incus_config: Mapping[str, str] | None = None
    """``config`` of Incus's ``GET /1.0``, global and this member's keys together (facts/incus.md R20)."""
    incus_member: str | None = None
    """The name of this cluster member; None on a standalone server or while Incus cannot be asked."""
    incus_has_linstor: bool = False
    """A pool of the driver ``linstor`` exists."""
    incus_environment: Mapping[str, str] = {}
    """Of ``incus.service``: ``Environment=`` and its ``EnvironmentFile=`` together."""
    client_conf: str | None = None
    """Text of :data:`CLIENT_CONF`."""
    controller_unit: bool = False
    """``linstor-controller.service`` is installed here."""
    satellite_token: bool = False
    """:data:`SATELLITE_TOKEN` exists."""
    wanted: wanted_map.WantedMap | None = None

    def __repr__(self) -> str:
        return f"Evidence(hostname={self.hostname!r}, …)"  # the rest holds keys and passwords


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """How LINSTOR is reached and what this node is called there, with the origin of each for people."""

    node: NodeName
    node_origin: str
    linstor: LinstorConfig
    """As configured, with what was found filled in; ``controllers`` are URLs with scheme and port."""
    controllers_origin: str
    tls_origin: str = ""
    trouble: Trouble | None = None
    """controller.none-configured, when nothing on this host names a controller; controller.bad-address, when none of those can be read."""


def discover(config: Config, evidence: Evidence) -> Discovered:
    """Fill in what ``config`` leaves open. Never fails: what cannot be found is a trouble with a remedy."""
    node, node_origin = _node(config, evidence)
    linstor, tls_origin = _credentials(config, evidence)
    urls, origin = _controllers(config, evidence)
    trouble = None
    if not urls:
        trouble = _nowhere(config, evidence)
    return Discovered(
        node=node,
        node_origin=node_origin,
        linstor=msgspec.structs.replace(linstor, controllers=urls),
        controllers_origin=origin,
        tls_origin=tls_origin,
        trouble=trouble,
    )


def _nowhere(config: Config, evidence: Evidence) -> Trouble:
    """Return why no controller is known: nobody names one, or what is named cannot be read."""
    incus, key = evidence.incus_config or {}, "storage.linstor.controller_connection"
    unit = config.systemd.incus_unit
    named = (
        (incus.get(key, ""), f"Incus's {key}"),
        (evidence.incus_environment.get("LS_CONTROLLERS", ""), f"LS_CONTROLLERS of {unit}"),
        (_client_conf(evidence).get("controllers", ""), CLIENT_CONF),
    )
    for text, where in named:
        for part in controllers.parse_list(text):
            try:
                controllers.parse(part)
            except ValueError as error:
                return Trouble(
                    code="controller.bad-address",
                    text=f"no LINSTOR controller is known: {where} cannot be read: {error}",
                    hint=f"correct {where}; an address is {controllers.ALLOWED}",
                )
    return Trouble(
        code="controller.none-configured",
        text="no LINSTOR controller is known: none is configured, and neither Incus nor"
        f" {unit} nor {CLIENT_CONF} names one",
        hint='set [linstor] controllers = ["http://HOST:3370"] in /etc/tidegate/tidegate.toml, or LS_CONTROLLERS',
    )


def _node(config: Config, evidence: Evidence) -> tuple[NodeName, str]:
    """Name the node as Incus does in its calls (facts/incus.md L3)."""
    if config.node.name:
        return NodeName(config.node.name), config.origin("node.name")
    incus = evidence.incus_config
    if incus is not None:
        if name := incus.get("storage.linstor.satellite.name"):
            return NodeName(name), "Incus, storage.linstor.satellite.name"
        if evidence.incus_member:
            return NodeName(evidence.incus_member), "Incus, name of this cluster member"
    elif evidence.wanted is not None:
        return evidence.wanted.node, "the map kept from the last good moment"
    return NodeName(evidence.hostname), "host name"


def _controllers(config: Config, evidence: Evidence) -> tuple[tuple[str, ...], str]:
    """Return the controllers' URLs of the first place that names any but our own guard, and that place."""
    for found, origin in _candidates(config, evidence):
        urls = controllers.without_guard(found)
        if urls:
            return urls, origin
    # Only where a controller may well be here. Elsewhere "connection refused" by this host would hide the real trouble,
    # which is that nobody said where the controller is.
    if evidence.controller_unit:
        return (LOCALHOST,), f"{config.systemd.controller_unit} is installed on this host"
    if evidence.incus_has_linstor:
        return (LOCALHOST,), "default that Incus uses too when nothing is set"
    return (), "nowhere"


def _candidates(config: Config, evidence: Evidence) -> Iterator[tuple[tuple[str, ...], str]]:
    linstor, incus = config.linstor, evidence.incus_config
    tls = bool(linstor.ca or linstor.ca_file or linstor.cert or linstor.cert_file)
    configured = tuple(controllers.parse(text, tls=tls) for text in linstor.controllers)
    yield configured, config.origin("linstor.controllers")
    if incus is not None:
        text = incus.get("storage.linstor.controller_connection", "")
        yield (
            controllers.as_incus_reads(controllers.parse_list(text)),
            "Incus, storage.linstor.controller_connection",
        )
    elif evidence.wanted is not None:
        yield evidence.wanted.controllers, "the map kept from the last good moment"
    env = evidence.incus_environment
    yield (
        _golinstor(env.get("LS_CONTROLLERS", ""), tls=any(env.get(name) for name in _TLS_NAMES)),
        f"LS_CONTROLLERS of {config.systemd.incus_unit}",
    )
    if incus is not None and evidence.wanted is not None:
        yield evidence.wanted.controllers, "the map kept from the last good moment"
    yield _golinstor(_client_conf(evidence).get("controllers", "")), CLIENT_CONF


_TLS_NAMES: Final = (
    *("LS_USER_CERTIFICATE", "LS_USER_KEY", "LS_ROOT_CA"),
    *("LS_USER_CERTIFICATE_FILE", "LS_USER_KEY_FILE", "LS_ROOT_CA_FILE"),
)


def _golinstor(text: str, *, tls: bool = False) -> tuple[str, ...]:
    urls = []
    for part in controllers.parse_list(text):
        try:
            urls.append(controllers.parse(part, tls=tls))
        except ValueError:
            continue
    return tuple(urls)


def _credentials(config: Config, evidence: Evidence) -> tuple[LinstorConfig, str]:
    """Return the configuration with certificates, user and token filled in, and where the certificates come from."""
    linstor = config.linstor
    found: dict[str, str] = {}
    origin = ""
    if linstor.ca or linstor.ca_file or linstor.cert or linstor.cert_file:
        keys = ("linstor.ca", "linstor.ca_file", "linstor.cert", "linstor.cert_file")
        origin = next(
            (config.origins[key] for key in keys if key in config.origins), "configuration"
        )
    else:
        found, origin = _found_tls(evidence)
    if not (linstor.username or linstor.token_file):
        found |= _found_login(evidence)
    return msgspec.structs.replace(linstor, **found), origin


def _found_tls(evidence: Evidence) -> tuple[dict[str, str], str]:
    incus = evidence.incus_config or {}
    pems = {
        field: incus.get(f"storage.linstor.{key}", "")
        for field, key in (("ca", "ca_cert"), ("cert", "client_cert"), ("key", "client_key"))
    }
    if any(pems.values()):
        return pems, "Incus, storage.linstor.ca_cert and client_cert"
    conf = _client_conf(evidence)
    names = (("ca_file", "cafile"), ("cert_file", "certfile"), ("key_file", "keyfile"))
    files = {field: conf[name] for field, name in names if conf.get(name)}
    return files, CLIENT_CONF if files else ""


def _found_login(evidence: Evidence) -> dict[str, str]:
    """Return user and token as Incus has them (facts/incus.md L41), else the satellite's own token."""
    env = evidence.incus_environment
    incus = evidence.incus_config or {}
    addresses = incus.get("storage.linstor.controller_connection") or env.get("LS_CONTROLLERS", "")
    # With our guard first in Incus's list, user and password are the guard's secret (contract.md safety 6).
    guarded = any(
        controllers.is_own_guard(url)
        for url in controllers.as_incus_reads(controllers.parse_list(addresses))
    )
    found = {}
    if env.get("LS_BEARER_TOKEN_FILE"):
        found["token_file"] = env["LS_BEARER_TOKEN_FILE"]
    elif env.get("LS_USERNAME") and not guarded:
        found = {"username": env["LS_USERNAME"], "password": env.get("LS_PASSWORD", "")}
    elif evidence.satellite_token:
        found["token_file"] = SATELLITE_TOKEN
    return found


def _client_conf(evidence: Evidence) -> Mapping[str, str]:
    """Return section ``[global]`` of linstor-client.conf; empty when the text is no such file."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(evidence.client_conf or "")
        return dict(parser["global"]) if parser.has_section("global") else {}
    except configparser.Error:
        return {}
