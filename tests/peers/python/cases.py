"""What the Python clients do with the gateway, and what they expect of its answers.

A client is given as an object with these, all of them asynchronous but the first; see mcp_client.py:
  version                         the revision that was negotiated
  tools() resources() templates() prompts()    lists of the package's own types
  call(tool, arguments, on_progress)           a result without an error; on_progress takes (progress, total)
  read(uri)                       a list of contents
  prompt(name, arguments)         a prompt's messages
  complete(template, argument, part)           a list of values
  updates(uri)                    a context manager of an asynchronous iterator of URIs
"""

import base64
import json

import anyio

from report import case, check

MODERN = "2026-07-28"
TOOLS = {"generate_image", "img2img", "inpaint", "run_workflow", "list_workflows", "list_models", "get_job_status"}
PROMPT = {"prompt": "a fox in the snow"}
CHECKPOINTS = "comfy://models/checkpoints"
TEMPLATE = "comfy://workflows/{name}"


class Cases:
    """The cases in their order; one of them makes the job that others look at."""

    def __init__(self, client, mode):
        self.client = client
        self.mode = mode
        self.job = None
        self.progress = []

    async def run(self):
        await case("connect", self.connect)
        await case("tools/list", self.list_tools)
        await case("tools/call", self.call)
        await case("progress", self.rising_progress)
        await case("cancel", self.cancel)
        await case("resources/list", self.list_resources)
        await case("resources/templates/list", self.list_templates)
        await case("resources/read", self.read)
        await case("prompts/list", self.list_prompts)
        await case("prompts/get", self.get_prompt)
        await case("completion/complete", self.complete)
        await case("subscribe", self.subscribe)

    async def connect(self):
        version = self.client.version
        check((version == MODERN) == (self.mode == "modern"), f"{version} was negotiated")
        return version

    async def list_tools(self):
        names = {tool.name for tool in await self.client.tools()}
        check(TOOLS <= names, f"there are only {sorted(names)}")
        return f"{len(names)} tools"

    async def call(self):
        result = await self.client.call("generate_image", PROMPT, lambda *update: self.progress.append(update))
        self.job = result.structured_content["job"]
        pictures = [base64.b64decode(part.data) for part in result.content if part.type == "image"]
        check(pictures and len(pictures[0]) > 100, "the answer has no picture")
        return f"a picture of {len(pictures[0])} bytes"

    async def rising_progress(self):
        """It comes more than once, each time with more than before, and never with more than everything."""
        values = [value for value, _ in self.progress]
        check(len(values) >= 2, f"progress came {len(values)} times")
        check(all(before < after for before, after in zip(values, values[1:])), f"progress doesn't rise: {values}")
        check(all(total and value <= total for value, total in self.progress), f"more than everything: {self.progress}")
        return f"{len(values)} times"

    async def cancel(self):
        before = await self.cancelled_jobs()
        begun = anyio.Event()
        async with anyio.create_task_group() as calls:
            calls.start_soon(self.client.call, "generate_image", PROMPT, lambda *_: begun.set())
            await begun.wait()
            calls.cancel_scope.cancel()
        while await self.cancelled_jobs() == before:
            await anyio.sleep(0.05)
        return "one more job is cancelled"

    async def cancelled_jobs(self):
        status = await self.client.call("get_queue_status", {}, None)
        return status.structured_content["yours"]["cancelled"]

    async def list_resources(self):
        uris = [str(resource.uri) for resource in await self.client.resources()]
        check({CHECKPOINTS, job_uri(self.job)} <= set(uris), f"there are only {uris}")
        return f"{len(uris)} resources"

    async def list_templates(self):
        templates = [template.uri_template for template in await self.client.templates()]
        check(TEMPLATE in templates, f"there are only {templates}")
        return f"{len(templates)} templates"

    async def read(self):
        check(self.job, "there is no job to read")
        job = await self.read_job(job_uri(self.job))
        check(job["state"] == "succeeded", f"the job is {job['state']}")
        picture = (await self.client.read(self.job["artifacts"][0]["uri"]))[0]
        check(picture.mime_type.startswith("image/") and picture.blob, f"a picture of {picture.mime_type}")
        return f"a job, and its {picture.mime_type}"

    async def read_job(self, uri):
        return json.loads((await self.client.read(uri))[0].text)["job"]

    async def list_prompts(self):
        prompts = await self.client.prompts()
        check(prompts, "there are none")
        return f"{len(prompts)} prompts"

    async def get_prompt(self):
        prompt = (await self.client.prompts())[0]
        arguments = {argument.name: "a fox" for argument in prompt.arguments or [] if argument.required}
        messages = await self.client.prompt(prompt.name, arguments)
        text = " ".join(message.content.text for message in messages if message.content.type == "text")
        check(text, f"{prompt.name} has no text")
        return f"{prompt.name}: {len(text)} characters"

    async def complete(self):
        values = await self.client.complete(TEMPLATE, "name", "txt2im")
        check("txt2img" in values, f"txt2im is completed to {values}")
        return ", ".join(values)

    async def subscribe(self):
        """Follows a job to its end by its updates alone."""
        result = await self.client.call("generate_image", {**PROMPT, "wait_seconds": 0}, None)
        uri = job_uri(result.structured_content["job"])
        count = 0
        async with self.client.updates(uri) as updates:
            async for updated in updates:
                check(updated == uri, f"an update of {updated}")
                count += 1
                if (await self.read_job(uri))["state"] in ("succeeded", "failed", "cancelled"):
                    return f"{count} updates to the job's end"
        check(False, "the updates ended before the job did")


def job_uri(job):
    return f"comfy://jobs/{job['id']}"
