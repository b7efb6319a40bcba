"""Where a setting's value comes from: the configuration file and the environment; and the keys that are not served."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .properties import InvalidConfiguration, parse

ALWAYS_READ = {
    "TEMP": "temp_dir",
    "LOG_LOCATION": "log_location",
    "METRICS_LOCATION": "metrics_location",
    "NUMSERVE_TOKENS": "tokens",
}
"""Environment variables that count without `enable_envvars_config`, and the setting each one gives."""

ALWAYS_OVERRIDING = {"ts_open_inference_protocol": "TS_OPEN_INFERENCE_PROTOCOL"}
"""Settings that a variable overrides without `enable_envvars_config`, and that variable."""

IRREGULAR = {"token_expiration_min": "TS_TOKEN_EXPIRATION_TIME_MIN"}
"""Settings whose variable is not TS_ and the key."""

NEVER_FROM_ENVIRONMENT = {
    "metric_time_interval",
    "enable_envvars_config",
    "model_snapshot",
    "models",
    "use_env_allowed_urls",
}
"""Settings that no TS_ variable overrides (contract: configuration, section 4)."""

_KEYSTORE = "TLS reads PEM: openssl pkcs12 -in FILE -nodes makes private_key_file and certificate_file of it"
_NETTY = "it tunes Netty, which is not here"
_CPP = "there is no C++ backend"
_JVM = "there is no Java here"
UNSERVED = {
    "number_of_netty_threads": _NETTY,
    "netty_client_threads": _NETTY,
    "prefer_direct_buffer": _NETTY,
    "use_native_io": _NETTY,
    "io_ratio": _NETTY,
    "async_logging": "the log is always buffered",
    "metrics_format": "Prometheus's text format is the only one",
    "system_metrics_cmd": "system metrics are measured inside the server",
    "keystore": _KEYSTORE,
    "keystore_pass": _KEYSTORE,
    "keystore_type": _KEYSTORE,
    "initial_worker_port": "workers have no ports; they talk over socket pairs",
    "initial_distribution_port": "models are not split over workers",
    "cpu_launcher_enable": "workers share the cores by their thread counts",
    "cpu_launcher_args": "workers share the cores by their thread counts",
    "ipex_enable": "it needs PyTorch",
    "ipex_gpu_enable": "it needs PyTorch",
    "cpp_log_config": _CPP,
    "plugins_path": _JVM,
    "vmargs": _JVM,
    "debug": "run one worker in the server itself instead: worker_backend=inline",
    "model_server_home": "the server has no home folder",
}
"""Keys TorchServe knows and this server does not serve, with the reason the warning gives."""


OF_SNAPSHOTS = {"tsConfigFile", "version", "python"}
"""What a snapshot tells about itself beside the settings."""


class Sourced(str):
    """A value as text that still knows where it stood, for error messages."""

    origin: str

    def __new__(cls, text: str, origin: str) -> Sourced:
        """Make the text and note its origin."""
        value = super().__new__(cls, text)
        value.origin = origin
        return value


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file gives: its known keys, and a warning for each other one."""

    path: Path | None
    values: dict[str, Sourced]
    warnings: tuple[str, ...]


def find_config_file(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Path | None:
    """The one file that is read: TS_CONFIG_FILE, else --ts-config, else ./config.properties, else the newest snapshot.

    A snapshot counts where snapshots are on, no models are asked for, and the model store is no other one.

    Raises: InvalidConfiguration where a file that was asked for is not there.
    """
    asked = flags.get("ts_config")
    if not flags.get("config_alone"):
        asked = environment.get("TS_CONFIG_FILE") or asked
    if asked:
        path = Path(str(asked))
        if not path.is_file():
            raise InvalidConfiguration(f"--ts-config file not found: {path}")
        return path
    local = Path("config.properties")
    if local.is_file():
        return local
    if not flags.get("config_snapshots", True) or flags.get("load_models"):
        return None
    return _newest_snapshot(Path(environment.get("LOG_LOCATION") or "logs", "config"), flags.get("model_store"))


def _newest_snapshot(folder: Path, store: Any) -> Path | None:
    """The latest snapshot by the time in its name, unless it is about another model store."""
    newest = max(folder.glob("*.cfg"), key=lambda path: path.name, default=None)
    if newest is None or store is None:
        return newest
    of = next((entry.value for entry in parse(_text(newest), {}) if entry.key == "model_store"), None)
    return newest if of is not None and Path(of).resolve() == Path(store).resolve() else None


def read_config_file(path: Path | None, known: Iterable[str], environment: Mapping[str, str]) -> ConfigFile:
    """Read the file; a key outside `known` becomes a warning, never an error."""
    values: dict[str, Sourced] = {}
    warnings: list[str] = []
    keys = sorted(known)
    for entry in parse(_text(path), environment, path) if path else ():
        where = f"{path} line {entry.line}"
        if entry.key in OF_SNAPSHOTS:
            continue
        if entry.key in keys:
            values[entry.key] = Sourced(entry.value, where)
        else:
            warnings.append(_complaint(entry.key, where, keys))
    return ConfigFile(path, values, tuple(warnings))


def read_environment(
    enabled: bool, allowed_urls: bool, known: Iterable[str], environment: Mapping[str, str]
) -> dict[str, Sourced]:
    """The TS_ variables that override file and command line, where the file enables them."""
    open_to = [key for key in known if enabled and key not in NEVER_FROM_ENVIRONMENT]
    names = {key: IRREGULAR.get(key, f"TS_{key.upper()}") for key in open_to}
    names.pop("allowed_urls", None)
    if allowed_urls:
        names["allowed_urls"] = "TS_ALLOWED_URLS"
    names |= {key: name for key, name in ALWAYS_OVERRIDING.items() if environment.get(name)}
    return {
        key: Sourced(environment[name], f"environment variable {name}")
        for key, name in names.items()
        if name in environment
    }


def read_locations(environment: Mapping[str, str]) -> dict[str, Sourced]:
    """The folders that the environment names, enabled or not."""
    return {
        key: Sourced(environment[name], f"environment variable {name}")
        for name, key in ALWAYS_READ.items()
        if environment.get(name)
    }


def of_workers(flags: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, str | None]:
    """What kind workers are of, and the variables they do not see, as far as can be told before all settings are read.

    Raises: InvalidConfiguration
    """
    path = find_config_file(flags, environment)
    said: dict[str, str] = {entry.key: entry.value for entry in parse(_text(path), environment)} if path else {}
    enabled = said.get("enable_envvars_config", "").strip().lower() == "true"
    said |= read_environment(enabled, False, ("worker_backend", "blacklist_env_vars"), environment)
    return said.get("worker_backend", "process"), said.get("blacklist_env_vars")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{path} cannot be read: {error}") from error


def _complaint(key: str, where: str, known: list[str]) -> str:
    if key in UNSERVED:
        return f"{where}: {key} is not served and is ignored: {UNSERVED[key]}"
    near = difflib.get_close_matches(key, [*known, *UNSERVED], n=1)
    return f"{where}: there is no key {key!r}; it is ignored" + (f". Did you mean {near[0]}?" if near else "")
