"""Key file: what is kept, what is let in, and that it survives company."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.tenants import Role, Tenant
from web.keys import KeyFile, create_key, list_keys, revoke_key

SHOP = Tenant("shop")


def test_a_new_key_speaks_for_its_tenant_and_role(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "keys.json"
    made = create_key(path, SHOP, Role.INGEST)

    principal = KeyFile(path).principal(made.token)

    assert principal is not None
    assert (principal.tenant, principal.role, principal.key_id) == (SHOP, Role.INGEST, made.key_id)


def test_the_file_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = create_key(path, SHOP, Role.READ)
    secret = made.token.split("_", 2)[2]

    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(secret) >= 43  # 256 bits in base64


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: token.upper(),
        lambda token: "xx" + token[2:],
        lambda token: "",
        lambda token: "hw",
        lambda token: "hw__",
        lambda token: token.replace("_", "-"),
        lambda token: "\ud800",
        lambda token: "hw_" + "é" * 5000,
    ],
)
def test_a_spoilt_token_is_nobody(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "keys.json"
    token = create_key(path, SHOP, Role.READ).token

    assert callable(spoil)
    assert KeyFile(path).principal(spoil(token)) is None


def test_a_running_service_sees_keys_made_and_revoked_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    assert keys.principal("hw_a_b") is None

    made = create_key(path, SHOP, Role.READ)
    assert keys.principal(made.token) is not None

    assert revoke_key(path, made.key_id)
    assert keys.principal(made.token) is None
    assert not revoke_key(path, made.key_id)


def test_a_deleted_key_file_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    token = create_key(path, SHOP, Role.READ).token
    assert keys.principal(token) is not None

    path.unlink()

    assert keys.principal(token) is None


def test_a_damaged_key_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"key_id"')

    with pytest.raises(ConfigError, match="cannot be read") as caught:
        KeyFile(path).principal("hw_a_b")
    assert "restore it" in caught.value.hint


def test_a_tenant_name_that_breaks_the_rule_gets_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        create_key(tmp_path / "keys.json", Tenant("../other"), Role.READ)
    assert list_keys(tmp_path / "keys.json") == []


def test_commands_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:  # the lock is on an open file, so threads stand for processes
        made = list(pool.map(lambda _: create_key(path, SHOP, Role.READ), range(40)))

    assert {key.key_id for key in list_keys(path)} == {key.key_id for key in made}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".keys.json.lock", "keys.json"]
