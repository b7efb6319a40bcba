"""Exception → status and wire name: the only place that knows both. The names are TorchServe's."""

from __future__ import annotations

from ...archiver import ArchiveError
from .. import errors as e


class WireError(Exception):
    """A request that the protocol itself refuses, before any model is asked."""


class NoRoute(WireError):
    """The path leads nowhere."""

    def __init__(self) -> None:
        """Say it in TorchServe's words."""
        super().__init__("Requested resource is not found, please refer to API document.")


class NotAllowed(WireError):
    """The path does not take the method."""

    def __init__(self, hint: str = "") -> None:
        """Say it in TorchServe's words, and how to allow it where that is possible."""
        super().__init__(f"Requested method is not allowed, please refer to API document.{hint and ' '}{hint}")


class TooLarge(WireError):
    """The body is longer than max_request_size."""

    def __init__(self, limit: int) -> None:
        """Name the limit and the setting behind it."""
        super().__init__(f"The request body exceeds {limit} bytes (max_request_size).")


class UnknownEncoding(WireError):
    """The body is compressed in a way that is not read here."""

    def __init__(self, encoding: str) -> None:
        """Name what was met and what is expected."""
        super().__init__(f"The body's encoding is {encoding!r}; expected gzip, deflate or none.")


class TookTooLong(WireError):
    """Taking a model away took longer than unregister_model_timeout."""


WIRE: dict[type[Exception], tuple[int, str]] = {
    NoRoute: (404, "ResourceNotFoundException"),
    NotAllowed: (405, "MethodNotAllowedException"),
    TooLarge: (413, "ContentTooLargeException"),
    UnknownEncoding: (415, "UnsupportedMediaTypeException"),
    TookTooLong: (408, "RequestTimeoutException"),
    ArchiveError: (400, "InvalidModelException"),
    e.InvalidRequest: (400, "BadRequestException"),
    e.InvalidWorkflow: (400, "InvalidWorkflowException"),
    e.InvalidDag: (400, "InvalidDAGException"),
    e.WorkflowNotFound: (404, "WorkflowNotFoundException"),
    e.WorkflowConflict: (409, "ConflictStatusException"),
    e.WorkflowFailed: (500, "WorkflowException"),
    e.NodeFailed: (500, "InternalServerException"),
    e.NodeTimedOut: (504, "RequestTimeoutException"),
    e.Unauthorized: (401, "InvalidKeyException"),
    e.Forbidden: (403, "InvalidKeyException"),
    e.EnvironmentFailed: (400, "ModelException"),
    e.DownloadFailed: (400, "DownloadArchiveException"),
    e.DefaultVersionInUse: (403, "InvalidModelVersionException"),
    e.ModelNotFound: (404, "ModelNotFoundException"),
    e.ModelVersionNotFound: (404, "ModelVersionNotFoundException"),
    e.ModelConflict: (409, "ConflictStatusException"),
    e.ModelLoadFailed: (500, "InternalServerException"),
    e.WorkerDied: (500, "InternalServerException"),
    e.WorkerOutOfMemory: (507, "InternalServerException"),
    e.ResponseTimeout: (504, "RequestTimeoutException"),
    e.Unavailable: (503, "ServiceUnavailableException"),
    e.InferenceFailed: (503, "InternalServerException"),
    e.DeadlineExceeded: (504, "RequestTimeoutException"),
    e.OutOfResources: (507, "InternalServerException"),
    e.ServingError: (500, "InternalServerException"),
    Exception: (500, "InternalServerException"),
}


def on_the_wire(error: Exception) -> tuple[int, str]:
    """The nearest row along the error's own class line; a handler's own code wins where it can be sent."""
    code, kind = next(WIRE[c] for c in type(error).__mro__ if c in WIRE)
    own = getattr(error, "code", None)
    return (own if isinstance(own, int) and 200 <= own <= 599 else code), kind


EXPECTED = (e.ServingError, ArchiveError, WireError)
"""The families whose texts are for clients; any other's may hold anything."""


def message_of(error: Exception) -> str:
    """What a client is told."""
    return str(error) if isinstance(error, EXPECTED) else "Internal server error"
