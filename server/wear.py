"""Wear: after how much service a worker makes room for a new one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wear:
    """How many requests a worker may have served, and bytes of memory it may have in use; 0 sets no limit."""

    requests: int = 0
    memory: int = 0

    def reason(self, requests: int, memory: int) -> str:
        """Why a worker that has served so many requests, and uses so many bytes, is to go; "" where it may stay."""
        if self.requests and requests >= self.requests:
            return f"it has served {requests} requests (maxRequestsPerWorker)"
        if self.memory and memory > self.memory:
            return f"it uses {memory >> 20} MB of memory (maxWorkerMemory)"
        return ""


LASTING = Wear()
