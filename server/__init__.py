"""HTTP, queues and processes: what stands between a client and a handler."""
