"""Who may ask for what: TorchServe's key file, static tokens with scopes, and no open door by accident."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Forbidden, InvalidRequest, Unauthorized
from .grpc import served
from .http.address import Address
from .properties import InvalidConfiguration

if TYPE_CHECKING:
    from .settings import Settings

logger = logging.getLogger(__name__)

SCOPES = ("predict", "manage", "metrics")
SCOPE_OF_FACE = {"inference": "predict", "management": "manage", "metrics": "metrics"}
SCOPE_OF_KEY = {"management": "manage", "inference": "predict"}
"""The keys of the key file that expire and can be renewed, with what each one opens."""
KEY_FILE = "key_file.json"
KEY_BYTES = 24
LEAST_CHARACTERS = 16
LOOK_SECONDS = 1.0
"""How long a change of the file of tokens may go unseen."""
FAILED = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
NOT_RENEWED = FAILED.replace("Authorization", "Authentication")
"""TorchServe's words where the key that renews keys is asked for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token opens, until when, and, for predictions, which models (none named: all)."""

    digest: bytes
    scopes: frozenset[str]
    models: frozenset[str] = frozenset()
    expires: float = math.inf


class KeyFile:
    """TorchServe's key_file.json: three keys, of which two expire (contract: management API, section 9)."""

    def __init__(self, path: Path, minutes: float, clock: Callable[[], float] = time.time) -> None:
        """Make the keys and write them where only this user can read them."""
        self.path = path.absolute()
        self._seconds = minutes * 60
        self._clock = clock
        self._api = secrets.token_urlsafe(KEY_BYTES)
        self._keys = {kind: self._new() for kind in SCOPE_OF_KEY}
        self._write()

    def grants(self) -> list[Grant]:
        """What the keys open now."""
        return [
            Grant(_digest(key), frozenset({SCOPE_OF_KEY[kind]}), expires=expires)
            for kind, (key, expires) in self._keys.items()
        ]

    def renews(self, token: str) -> bool:
        """Whether it is the key that renews the others."""
        return hmac.compare_digest(_digest(token), _digest(self._api))

    def renew(self, kind: str) -> None:
        """Replace a key, and write the file anew. Raises: InvalidRequest where there is no such key."""
        if kind not in self._keys:
            raise InvalidRequest(f"There is no key of type {kind!r}; expected management or inference.")
        self._keys[kind] = self._new()
        self._write()

    def remove(self) -> None:
        """Leave no keys behind."""
        self.path.unlink(missing_ok=True)

    def _new(self) -> tuple[str, float]:
        return secrets.token_urlsafe(KEY_BYTES), self._clock() + self._seconds

    def _write(self) -> None:
        told = {
            kind: {"key": key, "expiration time": datetime.fromtimestamp(expires, UTC).isoformat()[:-6] + "Z"}
            for kind, (key, expires) in self._keys.items()
        }
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
                json.dump(told | {"API": {"key": self._api}}, file, indent=2)
            draft.replace(self.path)
        except OSError as error:
            raise InvalidConfiguration(
                f"Invalid configuration: {self.path} cannot be written: {error.strerror}. Start in a folder of your "
                "own, or give tokens of your own by token_file"
            ) from error


class TokenFile:
    """What the static tokens open; a file that has changed is read again before the next request."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Read them. Raises: InvalidConfiguration where they cannot be."""
        self._settings = settings
        self._clock = clock
        self._seen = self._state()
        self._look_at = clock() + LOOK_SECONDS
        self._grants = tuple(static_tokens(settings))

    def grants(self) -> tuple[Grant, ...]:
        """What they open now. A file that cannot be used leaves all as it was, with an error in the log."""
        if self._settings.token_file and self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_SECONDS
            if (state := self._state()) != self._seen:
                self._seen = state
                self._read_again()
        return self._grants

    def _read_again(self) -> None:
        try:
            self._grants = tuple(static_tokens(self._settings))
        except InvalidConfiguration as error:
            logger.error("the tokens stay as they were: %s", error)
        else:
            logger.info("%s was read again: %d tokens", self._settings.token_file, len(self._grants))

    def _state(self) -> tuple[int, ...] | None:
        """What changes with the file."""
        try:
            found = os.stat(self._settings.token_file or "")
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class Authority:
    """Knows the tokens, and says whether one of them opens what is asked for."""

    def __init__(
        self,
        static: Callable[[], Iterable[Grant]] = tuple,
        keys: KeyFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Let in whoever holds one of these: `static` is asked for each request."""
        self._static = static
        self._has_static = bool([*static()])
        self._clock = clock
        self.keys = keys

    @classmethod
    def of(cls, settings: Settings) -> Authority | None:
        """What the settings ask for; None where everybody may do everything. Writes the key file where it is asked for.

        Raises: InvalidConfiguration where the tokens cannot be read.
        """
        static = TokenFile(settings).grants
        wanted = settings.disable_token_authorization is False
        if not static() and not wanted:
            return None
        return cls(static, KeyFile(Path(KEY_FILE), settings.token_expiration_min) if wanted else None)

    def guards(self, face: str) -> bool:
        """Whether a listener asks for tokens; that of metrics only where there are static ones, as in TorchServe."""
        return face != "metrics" or self._has_static

    def check(self, face: str, authorization: str, model: str | None = None) -> None:
        """Let a request for a listener, and perhaps a model, pass.

        Raises: Unauthorized without a token that is known and valid, Forbidden where it opens something else.
        """
        grant = self._grant_of(authorization)
        if grant is None:
            raise Unauthorized(FAILED)
        if SCOPE_OF_FACE[face] not in grant.scopes:
            raise Forbidden(f"The token does not have the scope {SCOPE_OF_FACE[face]}.")
        if grant.models and model not in grant.models:
            raise Forbidden("The token is not for this model.")

    def check_renewal(self, authorization: str) -> None:
        """Let a request for a new key pass. Raises Unauthorized."""
        if self.keys is None or not self.keys.renews(_bearer(authorization)):
            raise Unauthorized(NOT_RENEWED)

    def _grant_of(self, authorization: str) -> Grant | None:
        """What the token opens; every known one is compared, so that the time taken tells nothing."""
        met = _digest(_bearer(authorization))
        found = None
        for grant in (*self._static(), *(self.keys.grants() if self.keys else ())):
            if hmac.compare_digest(grant.digest, met) and grant.expires > self._clock():
                found = grant
        return found


def static_tokens(settings: Settings) -> list[Grant]:
    """The tokens of token_file and of NUMSERVE_TOKENS. Raises: InvalidConfiguration, which never quotes a token."""
    found = list(_read_tokens(settings.tokens.replace(";", "\n"), "NUMSERVE_TOKENS"))
    if settings.token_file:
        try:
            found += _read_tokens(settings.token_file.read_text(), str(settings.token_file))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfiguration(
                f"Invalid configuration: token_file {settings.token_file} cannot be read: {error}"
            ) from None
        if not found:
            raise InvalidConfiguration(f"Invalid configuration: token_file {settings.token_file} holds no token")
    return found


def check_exposure(settings: Settings) -> None:
    """Refuse to let other machines in without a token, unless that is what the settings say.

    Raises: InvalidConfiguration naming the listeners and the ways out.
    """
    if settings.disable_token_authorization is not None or settings.token_file or settings.tokens:
        return
    faces = [face for face in SCOPE_OF_FACE if face != "metrics" or settings.enable_metrics_api]
    addresses = {f"{face}_address": getattr(settings, f"{face}_address") for face in faces}
    if served(settings):
        for face in SCOPE_OF_KEY:
            addresses[f"grpc_{face}_address"] = Address(getattr(settings, f"grpc_{face}_address"), 0)
    exposed = [f"{key} = {address}" for key, address in addresses.items() if not address.loopback]
    if exposed:
        raise InvalidConfiguration(
            f"Invalid configuration: {', '.join(exposed)}: other machines get in, and nobody asks them for a token. "
            "Say disable_token_authorization=false for TorchServe's key file, token_file=FILE for tokens of your own, "
            "or disable_token_authorization=true (--disable-token-auth) to be open on purpose"
        )


def _read_tokens(text: str, where: str) -> Iterable[Grant]:
    """`scope[,scope…] token` a line; `predict:NAME` opens one model. `#` begins a comment."""
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        place = f"Invalid configuration: {where} line {number}"
        if len(words) != 2:
            raise InvalidConfiguration(f"{place}: expected `scope[,scope...] token`")
        pairs = [scope.partition(":") for scope in words[0].split(",")]
        scopes, models = {name for name, _, _ in pairs}, {model for _, _, model in pairs if model}
        if not scopes <= set(SCOPES) or (models and scopes != {"predict"}):
            token = len(words[0]) >= LEAST_CHARACTERS and not scopes & set(SCOPES)
            met = "no such words" if token else words[0]
            raise InvalidConfiguration(
                f"{place}: scopes are {met}; expected {', '.join(SCOPES)}, or predict:NAME alone"
            )
        if models and not all(model for _, _, model in pairs):
            models = set()  # predict, and predict:NAME: all of them
        if len(words[1]) < LEAST_CHARACTERS:
            raise InvalidConfiguration(f"{place}: the token is too short; at least {LEAST_CHARACTERS} characters")
        yield Grant(_digest(words[1]), frozenset(scopes), frozenset(models))


def _bearer(authorization: str) -> str:
    """The token of an `Authorization: Bearer TOKEN` header, else nothing; the scheme is case-sensitive here."""
    words = authorization.split()
    return words[1] if len(words) == 2 and words[0] == "Bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
