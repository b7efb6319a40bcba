"""An async handler that answers the requests of a batch side by side, and in pieces."""

import asyncio

from ts.handler_utils.utils import send_intermediate_predict_response


class Waits:
    async def initialize(self, context):
        self.gate = asyncio.Semaphore(1)

    async def handle(self, data, context):
        send_intermediate_predict_response(["pieces and "] * len(data), context.request_ids, "", 200, context)
        return await asyncio.gather(*[self.one(row["body"]) for row in data])

    async def one(self, body):
        async with self.gate:
            await asyncio.sleep(0.01)
            return body.decode()
