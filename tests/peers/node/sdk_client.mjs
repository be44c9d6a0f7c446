// The package `@modelcontextprotocol/sdk` as a client of the gateway. It speaks the revisions with a session.
//
// usage: sdk_client.mjs legacy http URL | ws URL | stdio PROGRAM [ARGUMENT]…

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { CHECKPOINTS, PROMPT, TEMPLATE, TOOLS, argumentsOf, isOver, jobOf, jobUri, pictureOf, textOf } from './gateway.mjs';
import { check, runCase } from './report.mjs';

const [, kind, target, ...rest] = process.argv.slice(2);
const client = new Client({ name: 'interop', version: '1.0.0' });
const progress = [];
let job;

function transport() {
  if (kind === 'http') return new StreamableHTTPClientTransport(new URL(target));
  if (kind === 'ws') return new WebSocketClientTransport(new URL(target));
  return new StdioClientTransport({ command: target, args: rest });
}

async function call(name, args, options) {
  const result = await client.callTool({ name, arguments: args }, undefined, options);
  check(!result.isError, JSON.stringify(result.content));
  return result;
}

const cancelledJobs = async () => (await call('get_queue_status', {})).structuredContent.yours.cancelled;
const readJob = async (uri) => jobOf(await client.readResource({ uri }));

const cases = {
  connect: async () => {
    await client.connect(transport());
    return client.getServerVersion().name;
  },

  'tools/list': async () => {
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    check(TOOLS.every((name) => names.includes(name)), `there are only ${names}`);
    return `${names.length} tools`;
  },

  'tools/call': async () => {
    const result = await call('generate_image', PROMPT, { onprogress: (update) => progress.push(update) });
    job = result.structuredContent.job;
    return pictureOf(result);
  },

  // It comes more than once, each time with more than before, and never with more than everything.
  progress: async () => {
    const values = progress.map((update) => update.progress);
    check(values.length >= 2, `progress came ${values.length} times`);
    check(values.every((value, at) => at === 0 || value > values[at - 1]), `progress doesn't rise: ${values}`);
    check(progress.every((update) => update.progress <= update.total), `more than everything: ${values}`);
    return `${values.length} times`;
  },

  cancel: async () => {
    const before = await cancelledJobs();
    const abort = new AbortController();
    const options = { signal: abort.signal, onprogress: () => abort.abort('changed my mind') };
    await call('generate_image', PROMPT, options).then(
      () => check(false, 'the call was answered'),
      () => check(abort.signal.aborted, 'the call ended by itself'),
    );
    while ((await cancelledJobs()) === before) await new Promise((resolve) => setTimeout(resolve, 50));
    return 'one more job is cancelled';
  },

  'resources/list': async () => {
    const uris = (await client.listResources()).resources.map((resource) => resource.uri);
    check(uris.includes(CHECKPOINTS) && uris.includes(jobUri(job)), `there are only ${uris}`);
    return `${uris.length} resources`;
  },

  'resources/templates/list': async () => {
    const templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
    check(templates.includes(TEMPLATE), `there are only ${templates}`);
    return `${templates.length} templates`;
  },

  'resources/read': async () => {
    check(job, 'there is no job to read');
    const { state } = await readJob(jobUri(job));
    check(state === 'succeeded', `the job is ${state}`);
    const picture = (await client.readResource({ uri: job.artifacts[0].uri })).contents[0];
    check(picture.mimeType.startsWith('image/') && picture.blob, `a picture of ${picture.mimeType}`);
    return `a job, and its ${picture.mimeType}`;
  },

  'prompts/list': async () => {
    const { prompts } = await client.listPrompts();
    check(prompts.length > 0, 'there are none');
    return `${prompts.length} prompts`;
  },

  'prompts/get': async () => {
    const [prompt] = (await client.listPrompts()).prompts;
    const text = textOf(await client.getPrompt({ name: prompt.name, arguments: argumentsOf(prompt) }));
    check(text, `${prompt.name} has no text`);
    return `${prompt.name}: ${text.length} characters`;
  },

  'completion/complete': async () => {
    const ref = { type: 'ref/resource', uri: TEMPLATE };
    const { values } = (await client.complete({ ref, argument: { name: 'name', value: 'txt2im' } })).completion;
    check(values.includes('txt2img'), `txt2im is completed to ${values}`);
    return values.join(', ');
  },

  // Follows a job to its end by its updates alone.
  subscribe: async () => {
    const uri = jobUri((await call('generate_image', { ...PROMPT, wait_seconds: 0 })).structuredContent.job);
    let count = 0;
    const over = new Promise((resolve, reject) => {
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, async ({ params }) => {
        count += 1;
        if (params.uri !== uri) reject(new Error(`an update of ${params.uri}`));
        else if (isOver(await readJob(uri))) resolve();
      });
    });
    await client.subscribeResource({ uri });
    await over;
    await client.unsubscribeResource({ uri });
    return `${count} updates to the job's end`;
  },
};

for (const [name, work] of Object.entries(cases)) await runCase(name, work);
await client.close();
process.exit(0);
