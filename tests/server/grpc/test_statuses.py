"""Exception → gRPC's status: every error has one, and a text that fits into a header."""

import pytest
from grpc import StatusCode
from numserve.archiver import ArchiveError
from numserve.server import errors as e
from numserve.server.api.errors import WIRE, NotAllowed, TookTooLong
from numserve.server.grpc.statuses import LONGEST, OF_ERROR, status_of, text_of

STATUSES = {
    e.InvalidRequest("x"): "INVALID_ARGUMENT",
    e.Unauthorized("x"): "UNAUTHENTICATED",
    e.Forbidden("x"): "PERMISSION_DENIED",
    e.ModelNotFound("x"): "NOT_FOUND",
    e.ModelVersionNotFound("x"): "NOT_FOUND",
    e.ModelConflict("x"): "ALREADY_EXISTS",
    e.DefaultVersionInUse("x"): "FAILED_PRECONDITION",
    e.DownloadFailed("x"): "INVALID_ARGUMENT",
    e.QueueFull("x"): "UNAVAILABLE",
    e.NoWorkers("x"): "UNAVAILABLE",
    e.DeadlineExceeded("x"): "DEADLINE_EXCEEDED",
    e.WorkerDied("x"): "INTERNAL",
    e.InferenceFailed("x", code=418): "FAILED_PRECONDITION",
    e.InferenceFailed("x", code=599): "INTERNAL",
    e.OutOfResources("x"): "INTERNAL",
    ArchiveError("x"): "INVALID_ARGUMENT",
    NotAllowed(): "PERMISSION_DENIED",
    TookTooLong("x"): "DEADLINE_EXCEEDED",
    ValueError("x"): "INTERNAL",
}


@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
def test_an_error_has_a_status(error):
    assert status_of(error) is StatusCode[STATUSES[error]]


def test_only_errors_of_the_table_have_a_status_of_their_own():
    assert all(any(kind in WIRE for kind in error.__mro__[:-2]) for error in OF_ERROR)


def test_a_text_is_short_and_only_operators_get_the_detail():
    error = e.InferenceFailed("Prediction failed", "at handler.py:3")
    assert text_of(error) == "Prediction failed"
    assert text_of(error, operator=True) == "Prediction failed\nat handler.py:3"
    assert text_of(ValueError("a secret")) == "Internal server error"
    assert len(text_of(e.InvalidRequest("x" * 9999))) == LONGEST
