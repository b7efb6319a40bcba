"""What is begun before the settings are read agrees with them."""

import os
from types import SimpleNamespace

import pytest
from numserve.server import launch
from numserve.server.settings import Settings
from numserve.server.sources import of_workers
from numserve.server.workers.zygote import Forks

OPTIONS = {
    "model_store": ".", "workflow_store": None, "models": (), "ts_config": None, "log_config": None,
    "enable_model_api": False, "disable_token_auth": False, "no_config_snapshots": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("worker_backend=spawn\nblacklist_env_vars=.*SECRET.*\n", {}),
        ("blacklist_env_vars=A\n", {"TS_BLACKLIST_ENV_VARS": "B"}),
        ("blacklist_env_vars=A\nenable_envvars_config=TRUE\n", {"TS_BLACKLIST_ENV_VARS": "B"}),
        ("enable_envvars_config=true\n", {"TS_WORKER_BACKEND": "inline", "TS_BLACKLIST_ENV_VARS": "B|C"}),
        ("enable_envvars_config=yes\n", {"TS_WORKER_BACKEND": "inline"}),
    ],
)
@pytest.mark.parametrize("place", ["config.properties", "other", "named"])
def test_workers_are_told_of_alike(text, variables, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if place == "named":
        monkeypatch.setenv("TS_CONFIG_FILE", place)
    flags = {"ts_config": place} if place == "other" else {}
    settings = Settings.load(**flags)
    assert of_workers(flags, os.environ) == (settings.worker_backend, settings.blacklist_env_vars)


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The environments that a process to fork from was started with; None stands for its end."""
    told = []

    class Zygote(SimpleNamespace):
        alive = True

        def __init__(self, environment):
            super().__init__(environment={**environment, **{n: "1" for n in environment if n.endswith("_NUM_THREADS")}})
            told.append(environment.get("SECRET", ""))

        def warm_up(self, needs): ...

        def close(self):
            told.append(None)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setattr("numserve.server.workers.zygote.FORKS", Forks())
    monkeypatch.setattr("numserve.server.workers.zygote.Zygote", Zygote)
    return told


def test_the_process_to_fork_from_is_kept(started, tmp_path):
    (tmp_path / "config.properties").write_text("blacklist_env_vars=SECRET\n")
    with launch._forks(OPTIONS) as go_on:
        assert started == [""]
        go_on(launch.effective(OPTIONS))
        assert started == [""]
    assert started == ["", None]


def test_another_one_is_started_where_the_settings_say_otherwise(started, tmp_path):
    with launch._forks(OPTIONS) as go_on:
        assert started == ["s3cret"]
        (tmp_path / "config.properties").write_text("blacklist_env_vars=SECRET\n")
        go_on(launch.effective(OPTIONS))
        assert started == ["s3cret", None, ""]
    assert started == ["s3cret", None, "", None]


def test_none_is_started_where_workers_are_of_another_kind_or_nothing_is_certain(started, tmp_path):
    for text in ("worker_backend=spawn\n", "blacklist_env_vars=(\n", "model_store=$$NO_SUCH_VARIABLE$$\n"):
        (tmp_path / "config.properties").write_text(text)
        with launch._forks(OPTIONS):
            assert started == []
