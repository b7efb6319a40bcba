"""What can go wrong while serving.

ServingError
├── InvalidRequest             the client's words make no sense
│   └── InvalidWorkflow          the archive or the specification of a workflow cannot be used
│       └── InvalidDag             its graph is none
├── Unauthorized               no token, or none that is known and valid
├── Forbidden                  the token opens something else
├── ModelNotFound              no such model, archive or allowed address
│   └── ModelVersionNotFound   the model has no such version
├── ModelConflict              the version is registered already
├── WorkflowNotFound           no such workflow, or archive of one
├── WorkflowConflict           the workflow, or a model of its node's name, is registered already
├── WorkflowFailed             a node of a workflow could not be registered
├── NodeFailed                 a node of a workflow gave no answer
│   └── NodeTimedOut             in time
├── DefaultVersionInUse        the default version goes last
├── DownloadFailed             an archive could not be fetched
├── EnvironmentFailed          what a model asks for could not be installed
├── ModelLoadFailed            a worker could not load the model: which phase, what was raised, where, what to do
├── Unavailable                the model takes no request now
│   ├── QueueFull                too many wait already
│   ├── SequenceClosed           the sequence that it waits in has ended
│   └── NoWorkers                nobody is left to serve them
├── DeadlineExceeded           the client's time is over
├── WorkerDied                 the worker went down with the batch
│   ├── WorkerOutOfMemory        ended by the kernel, as memory had run out
│   └── ResponseTimeout          because it took too long
├── InferenceFailed            the handler raised, or answered what cannot be sent
│   └── OutOfResources           for want of memory
└── StreamBroken               an answer's pieces were not read as fast as they came

None of them speaks HTTP but by a `code` that a handler has chosen. `detail` is for the log and for whoever manages
models; it may quote the handler.
"""

from __future__ import annotations

from .messages import Failure, LoadFailure


class ServingError(Exception):
    """The root; `str(error)` is for the client, `detail` for the operator."""

    code: int | None = None

    def __init__(self, message: str, detail: str = "") -> None:
        """Say what was met, what was expected and what to do."""
        super().__init__(message)
        self.detail = detail

    def explained(self) -> str:
        """The message and its detail in one line, for the log."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class InvalidRequest(ServingError):
    """The client's words make no sense."""


class InvalidWorkflow(InvalidRequest):
    """A workflow's archive or specification cannot be used."""


class InvalidDag(InvalidWorkflow):
    """What a workflow calls its graph is none without circles, from one start, over nodes that are there."""


class Unauthorized(ServingError):
    """There is no token, or none that is known and still valid."""


class Forbidden(ServingError):
    """The token opens something else."""


class ModelNotFound(ServingError):
    """No model, archive or allowed address has the name."""


class ModelVersionNotFound(ModelNotFound):
    """The model has no such version."""


class ModelConflict(ServingError):
    """The version is registered already."""


class WorkflowNotFound(ServingError):
    """No workflow, or archive of one, has the name."""


class WorkflowConflict(ServingError):
    """The workflow is registered already, or a model has the name of one of its nodes."""


class WorkflowFailed(ServingError):
    """Nodes of a workflow could not be registered; none of them is now."""


class NodeFailed(ServingError):
    """A node of a workflow gave no answer in any of its attempts; `detail` is why."""


class NodeTimedOut(NodeFailed):
    """A node of a workflow gave no answer in time, not even in the last of its attempts."""


class DefaultVersionInUse(ServingError):
    """The default version cannot go while others stay."""


class DownloadFailed(ServingError):
    """An archive could not be fetched."""


class EnvironmentFailed(ServingError):
    """The packages of a model could not be installed; `detail` is the end of what pip said."""


class Unavailable(ServingError):
    """The model takes no request now; another moment may do."""


class QueueFull(Unavailable):
    """More requests wait than can be served in time; in `retry_after` seconds there should be room."""

    def __init__(self, message: str, detail: str = "", retry_after: float = 1.0, code: int | None = None) -> None:
        """Say how many wait; `code` is the status, where it is not the usual one."""
        super().__init__(message, detail)
        self.retry_after = retry_after
        self.code = code


class SequenceClosed(Unavailable):
    """The sequence of the request has ended before its turn came; `str(error)` says why."""


class NoWorkers(Unavailable):
    """No worker is left that could ever serve the request."""


class DeadlineExceeded(ServingError):
    """The client's time was over before an answer was there."""


def too_late(waited: float, limit: str) -> DeadlineExceeded:
    """The error for a client that has waited so many seconds, more than `limit`, a setting or a header, allows."""
    return DeadlineExceeded(f"There was no answer after {waited:.3f} seconds; {limit} allows no more")


class WorkerDied(ServingError):
    """The worker went down with the batch; `detail` says how, and `reason` as much of it as is for the client."""

    def __init__(self, message: str, detail: str = "", cause: str = "died", reason: str = "") -> None:
        """Say how in words, and by one word that is counted: `cause`, one of `metrics.models.CAUSES`."""
        super().__init__(message, detail)
        self.cause = cause
        self.reason = reason


class WorkerOutOfMemory(WorkerDied):
    """The kernel ended the worker, as memory had run out."""


class ResponseTimeout(WorkerDied):
    """The worker took longer than it may and was ended."""


class InferenceFailed(ServingError):
    """The handler raised, or answered what cannot be sent; `code` is the handler's own choice of status."""

    def __init__(self, message: str, detail: str = "", code: int | None = None) -> None:
        """Keep the status the handler chose, if any."""
        super().__init__(message, detail)
        self.code = code


class OutOfResources(InferenceFailed):
    """The handler ran out of memory."""


class StreamBroken(ServingError):
    """An answer's pieces were not read as fast as they came."""


class ModelLoadFailed(ServingError):
    """A worker could not load the model."""

    def __init__(self, model: str, version: str, failure: LoadFailure) -> None:
        """Tell the whole story: model, phase, exception, the user's line, and what to do."""
        super().__init__(f"Failed to start workers for model {model} version: {version}", _story(failure))
        self.model = model
        self.version = version
        self.failure = failure
        self.code = 507 if failure.out_of_memory else 504 if failure.timed_out else None


def _story(failure: LoadFailure) -> str:
    where = f" at {failure.where}" if failure.where else ""
    hint = f"; hint: {failure.hint}" if failure.hint else ""
    return f"{failure.phase} failed{where}: {failure.exception}: {failure.message}{hint}"


BY_NAME: dict[str, type[ServingError]] = {
    kind.__name__: kind for kind in (InferenceFailed, OutOfResources, WorkerDied, InvalidRequest)
}
"""The classes a worker may name in a Failure."""


def from_failure(failure: Failure) -> ServingError:
    """The exception a worker has described."""
    kind = BY_NAME.get(failure.kind, InferenceFailed)
    error = kind(failure.message, failure.detail)
    error.code = failure.code
    if isinstance(error, WorkerDied):
        error.cause, error.reason = "exited", "the handler has asked its process to end"
    return error
