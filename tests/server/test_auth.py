"""Tokens as the settings give them; what they open over the wire is in tests/contract/management."""

from __future__ import annotations

import pytest
from numserve.server.auth import LOOK_SECONDS, Authority, KeyFile, TokenFile, check_exposure, static_tokens
from numserve.server.errors import Forbidden, Unauthorized
from numserve.server.properties import InvalidConfiguration
from numserve.server.settings import Settings

TOKEN = "0123456789abcdef"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(config="", tokens=None):
        (tmp_path / "config.properties").write_text(config)
        if tokens is not None:
            (tmp_path / "tokens").write_text(tokens)
        return Settings.load()

    return load


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("predict", "tokens line 1: expected"),
        (f"\nrule {TOKEN}", "tokens line 2: scopes are rule"),
        ("predict short", "line 1: the token is too short"),
        (f"manage:m {TOKEN}", "line 1: scopes are manage:m"),
        (f"predict:m,manage {TOKEN}", "line 1: scopes are predict:m,manage"),
        (f"{TOKEN} predict", "line 1: scopes are no such words"),
        ("# none", "holds no token"),
    ],
)
def test_a_mistake_in_a_token_file_is_told_without_a_token(settings, line, complaint):
    with pytest.raises(InvalidConfiguration) as refused:
        static_tokens(settings("token_file=tokens\n", line))
    assert complaint in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_token_file_that_is_not_there_is_named(settings):
    with pytest.raises(InvalidConfiguration, match="token_file tokens cannot be read"):
        static_tokens(settings("token_file=tokens\n"))


def test_tokens_of_the_environment_stand_side_by_side(settings, monkeypatch):
    monkeypatch.setenv("NUMSERVE_TOKENS", f"predict {TOKEN}; manage,metrics another-{TOKEN}")
    loaded = settings()
    authority = Authority.of(loaded)
    authority.check("inference", f"Bearer {TOKEN}")
    authority.check("metrics", f"Bearer another-{TOKEN}")
    assert TOKEN not in repr(loaded)


def test_a_token_may_open_some_models_or_all(settings):
    lines = f"predict:a,predict:b some-{TOKEN}\npredict,predict:a all-{TOKEN}"
    authority = Authority(TokenFile(settings("token_file=tokens\n", lines)).grants)
    authority.check("inference", f"Bearer some-{TOKEN}", "b")
    authority.check("inference", f"Bearer all-{TOKEN}", "c")
    for model in ("c", None):
        with pytest.raises(Forbidden):
            authority.check("inference", f"Bearer some-{TOKEN}", model)


def test_a_key_is_good_until_its_time_is_over(tmp_path):
    now = [0.0]
    keys = KeyFile(tmp_path / "keys", minutes=1, clock=lambda: now[0])
    [key, _] = [key for key, _ in keys._keys.values()]
    authority = Authority(keys=keys, clock=lambda: now[0])
    authority.check("management", f"Bearer {key}")
    now[0] = 60.0
    with pytest.raises(Unauthorized):
        authority.check("management", f"Bearer {key}")


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ("", False),
        ("inference_address=http://127.0.0.2:0\nmanagement_address=http://[::1]:0\n", False),
        ("management_address=unix:/s\n", False),
        ("management_address=http://0.0.0.0:0\n", True),
        ("metrics_address=http://[::]:0\n", True),
        ("metrics_address=http://0.0.0.0:0\nenable_metrics_api=false\n", False),
        ("inference_address=http://example.org\n", True),
        ("inference_address=http://0.0.0.0\ndisable_token_authorization=true\n", False),
        ("inference_address=http://0.0.0.0\ndisable_token_authorization=false\n", False),
        ("inference_address=http://0.0.0.0\ntoken_file=tokens\n", False),
    ],
)
def test_nobody_is_open_to_other_machines_by_accident(settings, config, refused):
    loaded = settings(config)
    if not refused:
        check_exposure(loaded)
        return
    with pytest.raises(InvalidConfiguration, match="other machines get in"):
        check_exposure(loaded)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_changed_token_file_is_read_again_and_a_broken_one_changes_nothing(settings, tmp_path, caplog):
    clock = Clock()
    tokens = TokenFile(settings("token_file=tokens\n", f"predict {TOKEN}"), clock)
    authority = Authority(tokens.grants)
    for text, opens in ((f"predict new-{TOKEN}", "new-"), ("# none", "new-"), (f"predict last-{TOKEN}", "last-")):
        (tmp_path / "tokens").write_text(text)
        clock.now += LOOK_SECONDS
        authority.check("inference", f"Bearer {opens}{TOKEN}")
    with pytest.raises(Unauthorized):
        authority.check("inference", f"Bearer new-{TOKEN}")
    assert "the tokens stay as they were" in caplog.text and TOKEN not in caplog.text


def test_a_token_file_is_not_looked_at_for_each_request(settings, tmp_path):
    tokens = TokenFile(settings("token_file=tokens\n", f"predict {TOKEN}"), Clock())
    (tmp_path / "tokens").write_text(f"predict new-{TOKEN}")
    Authority(tokens.grants).check("inference", f"Bearer {TOKEN}")
