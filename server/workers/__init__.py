"""The places where models run: a process of its own, or, for tests, a thread of the server."""

BUILTIN = {
    "inline": "numserve.server.workers.inline:InlineWorker",
    "process": "numserve.server.workers.process:ProcessWorker",
}
"""The kinds of worker that come with numserve, for `plugins.resolve("workers", …)`."""
