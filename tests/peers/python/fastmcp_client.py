"""The package `fastmcp` as a client of the gateway.

usage: fastmcp_client.py modern|legacy http URL
       fastmcp_client.py modern|legacy stdio PROGRAM [ARGUMENT]…
"""

import sys
import warnings
from contextlib import asynccontextmanager

import anyio
from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import types
from mcp.client.subscriptions import listen

from cases import Cases


class Updates(MessageHandler):
    """Keeps which resources were updated, for the revisions that say so outside of a stream of their own."""

    def __init__(self):
        self.tell, self.seen = anyio.create_memory_object_stream(100)

    async def on_resource_updated(self, message):
        self.tell.send_nowait(str(message.params.uri))


class FastMcpClient:
    def __init__(self, transport, mode):
        self.mode = mode
        self.legacy_updates = Updates()
        self.client = Client(
            transport, mode="auto" if mode == "modern" else "legacy", message_handler=self.legacy_updates
        )

    @property
    def version(self):
        return self.client.protocol_version

    async def tools(self):
        return await self.client.list_tools()

    async def resources(self):
        return await self.client.list_resources()

    async def templates(self):
        return await self.client.list_resource_templates()

    async def prompts(self):
        return await self.client.list_prompts()

    async def call(self, tool, arguments, on_progress):
        async def progress(value, total, _message):
            on_progress(value, total)

        return await self.client.call_tool(tool, arguments, progress_handler=progress if on_progress else None)

    async def read(self, uri):
        return await self.client.read_resource(uri)

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages

    async def complete(self, template, argument, part):
        reference = types.ResourceTemplateReference(type="ref/resource", uri=template)
        return (await self.client.complete(reference, {"name": argument, "value": part})).values

    @asynccontextmanager
    async def updates(self, uri):
        """It has no call for subscriptions of its own; its session, which is the package `mcp`'s, has."""
        if self.mode == "modern":
            async with listen(self.client.session, resource_subscriptions=[uri]) as events:
                yield (event.uri async for event in events)
            return
        with warnings.catch_warnings():
            # Deprecated for the newer revision; this is the older one.
            warnings.simplefilter("ignore")
            await self.client.session.subscribe_resource(uri)
            yield self.legacy_updates.seen
            await self.client.session.unsubscribe_resource(uri)


async def main(mode, transport, *target):
    server = StreamableHttpTransport(target[0]) if transport == "http" else StdioTransport(target[0], list(target[1:]))
    client = FastMcpClient(server, mode)
    async with client.client:
        await Cases(client, mode).run()


anyio.run(main, *sys.argv[1:])
