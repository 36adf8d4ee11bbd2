"""The first keys of a data folder: an empty folder -> tenant `default`, one key per role, in `keys/default.env`."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contracts.errors import ConfigError
from contracts.files import replace_file
from contracts.tenants import Role, tenant_named

if TYPE_CHECKING:
    from contracts.settings import Settings

_TEXT = """\
# Keys of tenant "default", made by the first `headwater up`. This file is their only copy: the service keeps hashes.
# ship logs:  HEADWATER_INGEST_URL={url} HEADWATER_API_KEY=$HEADWATER_INGEST_KEY \\
#                 headwater agent logs --path '/var/log/*.log' --service host
# search:     headwater search error        (takes the read key from this file while it runs on this data folder)
# elsewhere:  curl -H "Authorization: Bearer $HEADWATER_READ_KEY" {url}/services
# load them:  set -a; . {path}; set +a
HEADWATER_INGEST_KEY={ingest}
HEADWATER_READ_KEY={read}
HEADWATER_ADMIN_KEY={admin}
"""


def default_env(settings: Settings) -> Path:
    return settings.keys_file.with_name("default.env")


def make_first_keys(settings: Settings, url: str) -> bool:
    """Make the default tenant's keys when the folder has no key file yet; whether it did.

    A crash in between leaves no key file, so that the next start does it again.
    """
    from web.keys import create_key

    if settings.keys_file.exists():
        return False
    folder = settings.keys_file.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".first-") as draft:
        path = Path(draft) / settings.keys_file.name
        tokens = {role.value: create_key(path, tenant_named("default"), role).token for role in Role}
        text = _TEXT.format(url=url, path=default_env(settings), **tokens)
        replace_file(default_env(settings), text.encode())
        path.replace(settings.keys_file)
    return True


def local_key(settings: Settings, role: Role) -> str:
    """The default tenant's key of `role` as the local data folder holds it, or ""."""
    with contextlib.suppress(OSError):
        for line in default_env(settings).read_text().splitlines():
            name, _, value = line.partition("=")
            if name == f"HEADWATER_{role.value.upper()}_KEY":
                return value.strip()
    return ""


def _is_here(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "::1", "localhost")


def key_for(settings: Settings, role: Role, url: str) -> str:
    """HEADWATER_API_KEY, else the local key of `role`, which is shown to no other machine.

    Where HEADWATER_API_KEY is the local ingest key, exported for an agent, the local key of `role` is taken as well.

    Raises:
        ConfigError: There is neither.
    """
    key = settings.api_key.get_secret_value()
    if _is_here(url) and key in ("", local_key(settings, Role.INGEST)):
        key = local_key(settings, role) or key
    if not key:
        raise ConfigError(
            "no key: HEADWATER_API_KEY is not set",
            hint=f"set it, or make one: headwater keys create --tenant default --role {role.value}",
        )
    return key
