"""A listener of gRPC: who says nothing, or asks for nothing, does not stay, and calls are counted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest
from numserve.server.grpc.listener import GrpcServer, Limits
from numserve.server.http.address import Address
from numserve.server.http.listeners import bind

LIMIT = 30.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@pytest.fixture
async def listening():
    """`await listening(**limits)`: a listener whose one call, /x/Wait, sets one event and waits for another."""
    begun, go, servers = asyncio.Event(), asyncio.Event(), []

    async def wait(request, context):
        begun.set()
        await go.wait()
        return request

    found = grpc.method_handlers_generic_handler("x", {"Wait": grpc.unary_unary_rpc_method_handler(wait)})

    async def opened(**limits):
        bound = bind("grpc_inference_address", Address("127.0.0.1", 0))
        calls = SimpleNamespace(stopping=asyncio.Event(), handlers=lambda service: [found])
        server = GrpcServer(bound, calls, [None], Limits(1 << 20, **limits), drain_timeout=1)
        servers.append((server, asyncio.create_task(server.run_until_told())))
        await server.up.wait()
        return bound.address, begun, go

    yield opened
    for server, running in servers:
        server.finish()
        await running


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "a preface"])
async def test_who_makes_no_call_is_hung_up_on(listening, said):
    address, *_ = await listening(handshake_ms=200, idle_ms=200)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(said)
    async with asyncio.timeout(LIMIT):
        while await reader.read(1 << 16):
            pass
    writer.close()


async def test_more_calls_than_may_be_are_refused_at_once(listening):
    address, begun, go = await listening(calls=1)
    async with grpc.aio.insecure_channel(f"{address.host}:{address.port}") as channel:
        ask = channel.unary_unary("/x/Wait")
        first = asyncio.ensure_future(ask(b"first", timeout=LIMIT))
        async with asyncio.timeout(LIMIT):
            await begun.wait()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(b"second", timeout=LIMIT)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        go.set()
        assert await first == b"first"
