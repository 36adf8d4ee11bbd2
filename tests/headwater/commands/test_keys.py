from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.settings import load_settings
from contracts.tenants import Role
from headwater.keyring import default_env, key_for, local_key, make_first_keys
from tests.headwater.processes import headwater
from web.keys import KeyFile, list_keys


def test_a_key_is_printed_once_listed_without_its_secret_and_refused_after_revocation(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"))
    made = headwater(tmp_path, "keys", "create", "--tenant", "acme", "--role", "ingest", *data)
    token = made.stdout.strip()
    assert made.returncode == 0
    assert len(made.stdout.splitlines()) == 1
    keys = KeyFile(tmp_path / "data" / "keys" / "keys.json")
    principal = keys.principal(token)
    assert principal is not None
    assert (principal.tenant, principal.role) == ("acme", Role.INGEST)

    listed = headwater(tmp_path, "keys", "list", "--json", *data)
    assert [(key["tenant"], key["role"]) for key in json.loads(listed.stdout)] == [("acme", "ingest")]
    assert token not in listed.stdout
    assert principal.key_id in headwater(tmp_path, "keys", "list", *data).stdout

    assert headwater(tmp_path, "keys", "revoke", principal.key_id, *data).returncode == 0
    assert keys.principal(token) is None
    again = headwater(tmp_path, "keys", "revoke", principal.key_id, *data)
    assert again.returncode == 2
    assert "headwater keys list" in again.stderr


@pytest.mark.parametrize(("tenant", "role"), [("Acme Inc", "read"), ("acme", "root")])
def test_a_wrong_tenant_or_role_is_refused_in_one_line_without_a_traceback(
    tmp_path: Path, tenant: str, role: str
) -> None:
    done = headwater(tmp_path, "keys", "create", "--tenant", tenant, "--role", role)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_first_start_makes_a_key_of_each_role_and_the_second_none(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path)
    assert make_first_keys(settings, "http://127.0.0.1:8080")
    before = default_env(settings).read_text()
    assert not make_first_keys(settings, "http://127.0.0.1:8080")
    assert default_env(settings).read_text() == before
    keys = KeyFile(settings.keys_file)
    for role in Role:
        principal = keys.principal(local_key(settings, role))
        assert principal is not None
        assert (principal.tenant, principal.role) == ("default", role)
    for path in (settings.keys_file, default_env(settings)):
        assert path.stat().st_mode & 0o777 == 0o600


def test_keys_made_by_hand_before_the_first_start_are_left_alone(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    headwater(tmp_path, "keys", "create", "--tenant", "acme", "--role", "read", "--data-dir", data)
    settings = load_settings(_env_file=None, data_dir=data)
    assert not make_first_keys(settings, "http://127.0.0.1:8080")
    assert [key.tenant for key in list_keys(settings.keys_file)] == ["acme"]


def test_a_start_that_broke_off_before_the_key_file_was_there_is_made_good(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path)
    default_env(settings).parent.mkdir()
    default_env(settings).write_text("HEADWATER_READ_KEY=stale\n")
    assert make_first_keys(settings, "http://127.0.0.1:8080")
    assert KeyFile(settings.keys_file).principal(local_key(settings, Role.READ)) is not None


def test_the_folders_own_key_is_shown_to_this_machine_alone(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path, api_key="")
    make_first_keys(settings, "http://127.0.0.1:8080")
    assert key_for(settings, Role.READ, "http://localhost:8080") == local_key(settings, Role.READ)
    with pytest.raises(ConfigError, match="HEADWATER_API_KEY"):
        key_for(settings, Role.READ, "http://logs.example.com")
