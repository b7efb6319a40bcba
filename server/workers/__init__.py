"""The places where models run: a process of its own, forked or started, or, for tests, a thread of the server."""

BUILTIN = {
    "inline": "numserve.server.workers.inline:InlineWorker",
    "process": "numserve.server.workers.process:ProcessWorker",
    "spawn": "numserve.server.workers.process:SpawnedWorker",
}
"""The kinds of worker that come with numserve, for `plugins.resolve("workers", …)`."""
