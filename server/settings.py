"""Every setting of the server: its type, default, unit and source. The only reader of the environment."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from .http.address import Address
from .model_config import ModelConfig
from .properties import InvalidConfiguration
from .sources import find_config_file, read_config_file, read_environment, read_locations

__all__ = ["Address", "InvalidConfiguration", "ModelConfig", "Settings"]


def _flag(value: object) -> object:
    """True only for the text `true` in any case, as TorchServe reads it."""
    return value.strip().lower() == "true" if isinstance(value, str) else value


def _flag_or_oip(value: object) -> object:
    """As `_flag`, with the one word more by which a variable switches the Open Inference Protocol on."""
    return True if isinstance(value, str) and value.strip().lower() == "oip" else _flag(value)


def _items(value: object) -> object:
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _pattern(value: object) -> object:
    try:
        re.compile(value if isinstance(value, str) else "")
    except re.error as error:
        raise ValueError(f"{str(value)!r} is no regular expression: {error}") from error
    return value


def _patterns(value: object) -> object:
    items = _items(value)
    for pattern in items if isinstance(items, tuple) else ():
        _pattern(pattern)
    return items


def _models(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
        return {
            name: {
                version: ModelConfig.from_wire(config, f"models: {name} {version}")
                for version, config in versions.items()
            }
            for name, versions in found.items()
        }
    except (AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f'expected JSON such as {{"model": {{"1.0": {{"minWorkers": 1}}}}}}: {error}') from error


def _snapshot(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return {
            name: {v: dict(entry) for v, entry in found.items()} for name, found in json.loads(value)["models"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'expected JSON such as {{"models": {{"m": {{"1.0": {{"marName": "m.mar"}}}}}}}}: {error}'
        ) from error


def _address(default_port: int, default_tls_port: int) -> BeforeValidator:
    def read(value: object) -> object:
        return Address.parse(value, default_port, default_tls_port) if isinstance(value, str) else value

    return BeforeValidator(read)


MetricsMode = Literal["prometheus", "log", "legacy"]


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _mode(value: object) -> object:
    """A mode in any case; what is none stays as it is, for the message."""
    mode = value.strip().lower() if isinstance(value, str) else value
    return mode if mode in get_args(MetricsMode) else value


Flag = Annotated[bool, BeforeValidator(_flag)]
Items = Annotated[tuple[str, ...], BeforeValidator(_items)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
Models = Annotated[dict[str, dict[str, ModelConfig]], BeforeValidator(_models)]


Snapshot = Annotated[dict[str, dict[str, dict[str, Any]]], BeforeValidator(_snapshot)]


class Settings(BaseModel):
    """The server's settings, made once and passed on. Durations are seconds, sizes bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    inference_address: Annotated[Address, _address(80, 443)] = Field(
        Address("127.0.0.1", 8080),
        description="where predictions are served: `http://host:port`, `https://…` or `unix:/path`",
    )
    management_address: Annotated[Address, _address(8081, 8444)] = Field(
        Address("127.0.0.1", 8081), description="where models are managed"
    )
    metrics_address: Annotated[Address, _address(8082, 8445)] = Field(
        Address("127.0.0.1", 8082), description="where metrics are scraped"
    )
    enable_grpc: Flag | None = Field(
        None, description="`true`: gRPC or no start; `false`: no gRPC; else where the extra `grpc` is installed"
    )
    grpc_inference_address: str = Field("127.0.0.1", description="host where predictions are served by gRPC")
    grpc_management_address: str = Field("127.0.0.1", description="host where models are managed by gRPC")
    grpc_inference_port: int = Field(7070, ge=0, le=65535, description="port of predictions by gRPC")
    grpc_management_port: int = Field(7071, ge=0, le=65535, description="port of management by gRPC")
    grpc_inference_max_connection_age_ms: int | None = Field(
        None, gt=0, description="milliseconds after which a connection of that port is asked to end; none = never"
    )
    grpc_management_max_connection_age_ms: int | None = Field(None, gt=0, description="the same of the other port")
    grpc_inference_max_connection_age_grace_ms: int | None = Field(
        None, gt=0, description="milliseconds that its calls then get before they are broken off; none = all they need"
    )
    grpc_management_max_connection_age_grace_ms: int | None = Field(
        None, gt=0, description="the same of the other port"
    )
    enable_grpc_ssl: Flag = Field(False, description="gRPC by TLS, with private_key_file and certificate_file")
    model_store: Path | None = Field(None, description="the folder of archives; must be given")
    workflow_store: Path | None = Field(None, description="the folder of workflows' archives; none = model_store")
    load_models: Items = Field(
        (), description="what to serve from the start: `all`, or a comma list of `file`, `name=file`, `name=URL` or URL"
    )
    load_parallelism: int = Field(0, ge=0, description="models loaded at once at the start; 0 = one per core")
    load_memory: int = Field(
        0, ge=0, description="bytes that those may take, by estimate; 0 = four fifths of what is available"
    )
    models: Models = Field({}, description="JSON: how models are run, by name and version")
    model_snapshot: Snapshot | None = Field(
        None, description="JSON: what a snapshot found served; instead of load_models"
    )
    default_workers_per_model: int = Field(
        0, ge=0, description="workers of a model that does not say; 0 = one per core at start, none by API"
    )
    autoscaling: Flag = Field(
        True, description="let the number of a model's workers follow its load, between minWorkers and maxWorkers"
    )
    default_response_timeout: float = Field(120, gt=0, lt=1 << 31, description="seconds a batch may take")
    default_startup_timeout: float = Field(
        120, gt=0, lt=1 << 31, description="seconds a worker may take to load its model"
    )
    ready_without_models: Flag = Field(False, description="be ready while there is no model at all")
    drain_delay: float = Field(
        0, ge=0, description="seconds in which a server that stops still accepts, but says that it is not ready"
    )
    drain_timeout: float = Field(30, ge=0, description="seconds that requests under way get when the server stops")
    unregister_model_timeout: float = Field(120, gt=0, description="seconds an unregistration may take")
    job_queue_size: int = Field(100, ge=1, lt=1 << 31, description="requests that may wait for one model")
    fixed_delay: Flag = Field(
        False, description="wait maxBatchDelay for a full batch even while a worker is idle, as TorchServe does"
    )
    overload_status: Annotated[Literal[503, 429], BeforeValidator(_number)] = Field(
        503, description="status of a request that is refused as too many wait: `503` or `429`"
    )
    number_of_gpu: int = Field(0, ge=0, description="accepted; models run on the CPU")
    decode_input_request: Flag = Field(True, description="give handlers parsed JSON and text instead of bytes")
    max_request_size: int = Field(6553500, ge=0, description="bytes of a request body at most")
    max_response_size: int = Field(6553500, ge=1, description="bytes of a handler's answer at most")
    max_connections: int = Field(
        10_000, ge=1, description="connections of a listener at most; fewer where there are too few descriptors"
    )
    max_connections_per_peer: int = Field(
        8_000, ge=0, description="connections of a listener to one address at most; 0 = as many as in all"
    )
    min_transfer_rate: int = Field(
        240, ge=0, description="bytes a second that clients send of a body and read of an answer at least; 0 = any"
    )
    max_unread_size: int = Field(
        1 << 30, ge=0, description="bytes of answers that clients of a listener may leave unread, all of them together"
    )
    max_unfinished_size: int = Field(
        1 << 30, ge=0, description="bytes of requests that clients of a listener may have begun, all of them together"
    )
    limit_max_image_pixels: Flag = Field(True, description="keep Pillow's guard against huge images")
    default_service_handler: str | None = Field(None, description="the handler of an archive that names none")
    service_envelope: Literal["body", "json", "kserve", "kservev2"] | None = Field(
        None, description="how bodies are wrapped: `body`, `json`, `kserve` or `kservev2`"
    )
    ts_open_inference_protocol: Annotated[bool, BeforeValidator(_flag_or_oip)] = Field(
        True, description="serve health, readiness and metadata under `/v2`"
    )
    enable_metrics_api: Flag = Field(True, description="open the metrics listener")
    metrics_mode: Annotated[MetricsMode, BeforeValidator(_mode)] = Field(
        "prometheus", description="where TorchServe's metrics go: `prometheus`, `log` or `legacy`"
    )
    metrics_config: Path | None = Field(
        None, description="YAML file that declares TorchServe's and the models' metrics"
    )
    model_metrics_auto_detect: Flag | None = Field(
        None, description="take metrics that no file declares; true without metrics_config, else false"
    )
    metric_time_interval: float = Field(60, gt=0, description="seconds between two measurements of the system")
    disable_system_metrics: Flag = Field(False, description="do not measure CPU, memory and disk")
    allowed_urls: Patterns = Field((), description="comma list of regular expressions; archives come from nowhere else")
    use_env_allowed_urls: Flag = Field(False, description="let TS_ALLOWED_URLS override allowed_urls")
    blacklist_env_vars: Annotated[str | None, BeforeValidator(_pattern)] = Field(
        None, description="regular expression; variables workers do not see"
    )
    enable_envvars_config: Flag = Field(False, description="let TS_<KEY> variables override file and command line")
    enable_model_api: Flag = Field(False, description="allow registering and unregistering over HTTP")
    disable_token_authorization: Flag | None = Field(
        None, description="`false`: tokens by TorchServe's key file; `true`: no key file, and open on purpose"
    )
    token_expiration_min: float = Field(60, gt=0, description="minutes that a key of the key file is valid")
    token_file: Path | None = Field(None, description="file of static tokens and their scopes")
    private_key_file: Path | None = Field(None, description="the PEM file of the key for https, without a password")
    certificate_file: Path | None = Field(None, description="the PEM file of its certificate, with the chain")
    ts_header_key_sequence_id: str = Field(
        "ts_request_sequence_id", min_length=1, description="header that names a request's sequence"
    )
    ts_header_key_sequence_start: str = Field(
        "ts_request_sequence_start", min_length=1, description="header of a request that begins one"
    )
    ts_header_key_sequence_end: str = Field(
        "ts_request_sequence_end", min_length=1, description="response header that ends one"
    )
    cors_allowed_origin: str | None = Field(None, description="value of Access-Control-Allow-Origin")
    cors_allowed_methods: str | None = Field(None, description="value of Access-Control-Allow-Methods")
    cors_allowed_headers: str | None = Field(None, description="value of Access-Control-Allow-Headers")
    worker_backend: str = Field(
        "process",
        description="where models run: `process`, forked; `spawn`, a Python each; `inline`, in the server itself",
    )
    worker_heartbeat: float = Field(
        5, ge=0, lt=1 << 31, description="seconds between two looks at whether a worker still runs; 0 = none"
    )
    install_py_dep_per_model: Flag = Field(
        False, description="install what an archive's requirements file asks for, for its model alone"
    )
    require_package_hashes: Flag = Field(
        False, description="install wheels alone whose version and hash the requirements name"
    )
    model_environments: Path | None = Field(
        None, description="folder of what was installed, kept for the next time; none = in the user's cache"
    )
    model_environment_timeout: float = Field(600, gt=0, description="seconds that installing may take")
    log_format: Literal["text", "json"] = Field("text", description="how log lines look: `text` or `json`")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_config: Path | None = Field(None, description="YAML or JSON file for Python's `logging.config.dictConfig`")
    log_location: Path = Field(Path("logs"), description="folder of the log files")
    metrics_location: Path | None = Field(None, description="folder of the metrics' log files, if not log_location")
    tokens: str = Field("", description="static tokens, from NUMSERVE_TOKENS alone", exclude=True, repr=False)
    temp_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()), description="TEMP, or the system's", exclude=True
    )
    ts_config: Path | None = Field(None, description="the configuration file that was read", exclude=True)
    config_alone: bool = Field(False, description="read ts_config whatever TS_CONFIG_FILE says", exclude=True)
    config_snapshots: bool = Field(True, description="write and restore snapshots", exclude=True)
    origins: dict[str, str] = Field({}, description="where each value comes from, but for defaults", exclude=True)
    warnings: tuple[str, ...] = Field((), description="what the configuration file holds in vain", exclude=True)

    @classmethod
    def load(cls, **flags: Any) -> Settings:
        """Settings from the command line's flags (None = not given), the configuration file and the environment.

        Raises: InvalidConfiguration naming the key, where it stands, and what was expected.
        """
        try:
            return cls(**{key: value for key, value in flags.items() if value is not None})
        except ValidationError as error:
            problems = "; ".join(map(_explain, error.errors()))
            raise InvalidConfiguration(f"Invalid configuration: {problems}") from error

    @model_validator(mode="before")
    @classmethod
    def _from_all_sources(cls, flags: Mapping[str, Any]) -> dict[str, Any]:
        """The order of the sources, the strongest first: TS_ variables, command line, file, locations, defaults."""
        known = cls.known_keys()
        file = read_config_file(find_config_file(flags, os.environ), known, os.environ)
        enabled, urls = (
            bool(_flag(file.values.get(key, ""))) for key in ("enable_envvars_config", "use_env_allowed_urls")
        )
        order: tuple[Mapping[str, Any], ...] = (
            read_environment(enabled, urls, known, os.environ),
            flags,
            file.values,
            read_locations(os.environ),
        )
        about = {"ts_config": file.path, "warnings": file.warnings, "origins": _origins(order)}
        return {key: value for values in reversed((about, *order)) for key, value in values.items()}

    @property
    def environments(self) -> Path:
        """Where the packages of models are installed: in a folder of the user's own that outlives the server."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
        if not cache.is_absolute():  # a user without a home
            cache = self.temp_dir / f"numserve-cache-{os.getuid()}"
        return self.model_environments or cache / "numserve" / "environments"

    @property
    def restored(self) -> bool:
        """Whether the configuration is a snapshot."""
        return self.ts_config is not None and self.ts_config.parent == self.log_location / "config"

    def changed(self) -> dict[str, Any]:
        """The keys that have not their default, with their values."""
        fields = type(self).model_fields
        return {key: getattr(self, key) for key in self.known_keys() if getattr(self, key) != fields[key].default}

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys a configuration file may hold."""
        return [name for name, field in cls.model_fields.items() if not field.exclude]


def _origins(order: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Where the value of each key comes from: the strongest source that has it."""
    return {
        key: getattr(value, "origin", "command line") for values in reversed([*order]) for key, value in values.items()
    }


def _explain(problem: Any) -> str:
    key, value = str(problem["loc"][0]), problem["input"]
    origin = getattr(value, "origin", None)
    return f"{key} = {str(value)!r}{f' ({origin})' if origin else ''}: {problem['msg'].removeprefix('Value error, ')}"
