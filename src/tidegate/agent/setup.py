# SPDX-License-Identifier: Apache-2.0
"""From files, environment and options to a configuration, or to the text that tells a person what is wrong with them."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from tidegate.clients import configfiles, errors
from tidegate.clients.systemd import enabled, journal
from tidegate.config import load as loading
from tidegate.config.model import Config
from tidegate.core.ids import AGENT_UNIT


def load(
    *, overrides: Mapping[str, object], config: str | None, env: Mapping[str, str] = os.environ
) -> Config | str:
    """Return the configuration, or lines for a person (each naming file, key and what is allowed)."""
    try:
        files = configfiles.read(Path(config) if config else None)
    except errors.ClientError as error:
        return f"tidegate: {error.trouble}\n"
    loaded = loading.load(files, env, overrides)
    if isinstance(loaded, Config):
        return loaded
    return "".join(f"tidegate: {error}\n" for error in loaded)


def expects_agent(config: Config) -> bool:
    """Return whether an agent is to be expected while this host boots: one that is nobody's to start is not waited for."""
    elsewhere = config.agent.run_dir != Config().agent.run_dir
    return elsewhere or enabled.is_enabled(AGENT_UNIT)


def log_to_journal(config: Config) -> None:
    """Send the log to the journal when systemd runs us as a service, else to standard error (by hand, in a container)."""
    root = logging.getLogger()
    root.handlers[:] = [journal.handler() if journal.is_read() else journal.plain()]
    root.setLevel(config.log.level.value.upper())
