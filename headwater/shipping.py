"""`headwater agent`: the command line -> the agents of `agents/`, with an address and a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from headwater.keyring import default_env

if TYPE_CHECKING:
    from contracts.settings import Settings


def _check_target(settings: Settings) -> None:
    missing = [
        name
        for name, value in (
            ("HEADWATER_INGEST_URL", settings.ingest_url),
            ("HEADWATER_API_KEY", settings.api_key.get_secret_value()),
        )
        if not value
    ]
    if not missing:
        return
    env = default_env(settings)
    hint = "the URL is that of `headwater up`, e.g. http://127.0.0.1:8080; a key: headwater keys create --role ingest"
    if env.exists():
        hint = (
            f"{env} holds the keys of this machine's tenant default: set HEADWATER_API_KEY to its HEADWATER_INGEST_KEY"
        )
        if "HEADWATER_INGEST_URL" in missing:
            hint += ", and HEADWATER_INGEST_URL e.g. to http://127.0.0.1:8080"
    raise ConfigError(f"the agent needs {' and '.join(missing)}", hint=hint)


def ship_logs(
    settings: Settings,
    paths: list[str],
    stdin: bool,
    service: str,
    env: str,
    host: str | None,
    name: str,
    exit_when_idle: bool,
) -> int:
    """Run until SIGTERM or Ctrl-C, or until idle when asked.

    Raises:
        ConfigError: Nothing to read, or no address or key.
    """
    if not paths and not stdin:
        raise ConfigError("nothing to read", hint="name files with --path '/var/log/*.log', or pipe into --stdin")
    _check_target(settings)
    import agents

    return agents.run_logs(settings, paths, stdin, service, env, host=host, name=name, exit_when_idle=exit_when_idle)


def ship_host(settings: Settings, interval_s: float, service: str, env: str, host: str | None, name: str) -> int:
    """Run until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: No address or key.
    """
    _check_target(settings)
    import agents

    return agents.run_host(settings, interval_s, service, env, host=host, name=name)
