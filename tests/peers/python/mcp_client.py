"""The package `mcp` as a client of the gateway.

usage: mcp_client.py modern|legacy http URL
       mcp_client.py modern|legacy stdio PROGRAM [ARGUMENT]…
"""

import sys
import warnings
from contextlib import asynccontextmanager

import anyio
from mcp import Client, types
from mcp.client.stdio import StdioServerParameters

from cases import Cases
from report import check


class McpClient:
    def __init__(self, target, mode):
        self.mode = mode
        self.tell_update, self.legacy_updates = anyio.create_memory_object_stream(100)
        self.client = Client(
            target, mode="auto" if mode == "modern" else "legacy", message_handler=self.on_message
        )

    async def on_message(self, message):
        if isinstance(message, types.ResourceUpdatedNotification):
            self.tell_update.send_nowait(str(message.params.uri))

    @property
    def version(self):
        return self.client.protocol_version

    async def tools(self):
        return (await self.client.list_tools()).tools

    async def resources(self):
        return (await self.client.list_resources()).resources

    async def templates(self):
        return (await self.client.list_resource_templates()).resource_templates

    async def prompts(self):
        return (await self.client.list_prompts()).prompts

    async def call(self, tool, arguments, on_progress):
        async def progress(value, total, _message):
            on_progress(value, total)

        result = await self.client.call_tool(tool, arguments, progress_callback=progress if on_progress else None)
        check(not result.is_error, result.content)
        return result

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages

    async def complete(self, template, argument, part):
        reference = types.ResourceTemplateReference(type="ref/resource", uri=template)
        result = await self.client.complete(reference, {"name": argument, "value": part})
        return result.completion.values

    @asynccontextmanager
    async def updates(self, uri):
        if self.mode == "modern":
            async with self.client.listen(resource_subscriptions=[uri]) as events:
                yield (event.uri async for event in events)
            return
        with warnings.catch_warnings():
            # Deprecated for the newer revision; this is the older one.
            warnings.simplefilter("ignore")
            await self.client.subscribe_resource(uri)
            yield self.legacy_updates
            await self.client.unsubscribe_resource(uri)


async def main(mode, transport, *target):
    server = target[0] if transport == "http" else StdioServerParameters(command=target[0], args=list(target[1:]))
    client = McpClient(server, mode)
    async with client.client:
        await Cases(client, mode).run()


anyio.run(main, *sys.argv[1:])
