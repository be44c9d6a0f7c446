// The command line of `@modelcontextprotocol/inspector` as a client of the gateway: a process for each request.
//
// usage: inspector_client.mjs modern|legacy http URL | stdio PROGRAM [ARGUMENT]…

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKPOINTS, MODERN, PROMPT, TEMPLATE, TOOLS, argumentsOf, jobOf, jobUri, pictureOf, textOf } from './gateway.mjs';
import { NotOffered, check, runCase } from './report.mjs';

const manifest = createRequire(import.meta.url).resolve('@modelcontextprotocol/inspector/package.json');
const program = join(dirname(manifest), 'clients/launcher/build/index.js');
const [era, , ...target] = process.argv.slice(2);
let job;

/** One request, and its result as it is printed. */
async function request(method, ...options) {
  const words = ['--cli', '--protocol-era', era, '--format', 'json', '--quiet', '--method', method, ...options, '--', ...target];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...words], { maxBuffer: 1 << 26 });
    return JSON.parse(stdout).result;
  } catch (error) {
    throw new Error(error.stderr?.trim() || error.message);
  }
}

function pairs(option, values) {
  const words = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  return words.length > 0 ? [option, ...words] : [];
}

function notOffered(what) {
  return async () => {
    throw new NotOffered(what);
  };
}

const cases = {
  connect: async () => {
    const { protocolVersion, serverInfo } = await request('initialize');
    check((protocolVersion === MODERN) === (era === 'modern'), `${protocolVersion} was negotiated`);
    return `${protocolVersion}, ${serverInfo.name}`;
  },

  'tools/list': async () => {
    const names = (await request('tools/list')).tools.map((tool) => tool.name);
    check(TOOLS.every((name) => names.includes(name)), `there are only ${names}`);
    return `${names.length} tools`;
  },

  'tools/call': async () => {
    const result = await request('tools/call', '--tool-name', 'generate_image', ...pairs('--tool-arg', PROMPT));
    check(!result.isError, JSON.stringify(result.content));
    job = result.structuredContent.job;
    return pictureOf(result);
  },

  progress: notOffered('it shows none'),
  cancel: notOffered('it has no command for it'),

  'resources/list': async () => {
    const uris = (await request('resources/list')).resources.map((resource) => resource.uri);
    check(uris.includes(CHECKPOINTS) && uris.includes(jobUri(job)), `there are only ${uris}`);
    return `${uris.length} resources`;
  },

  'resources/templates/list': async () => {
    const templates = (await request('resources/templates/list')).resourceTemplates.map((template) => template.uriTemplate);
    check(templates.includes(TEMPLATE), `there are only ${templates}`);
    return `${templates.length} templates`;
  },

  'resources/read': async () => {
    check(job, 'there is no job to read');
    const { state } = jobOf(await request('resources/read', '--uri', jobUri(job)));
    check(state === 'succeeded', `the job is ${state}`);
    return 'a job';
  },

  'prompts/list': async () => {
    const { prompts } = await request('prompts/list');
    check(prompts.length > 0, 'there are none');
    return `${prompts.length} prompts`;
  },

  'prompts/get': async () => {
    const [prompt] = (await request('prompts/list')).prompts;
    const result = await request('prompts/get', '--prompt-name', prompt.name, ...pairs('--prompt-args', argumentsOf(prompt)));
    check(textOf(result), `${prompt.name} has no text`);
    return `${prompt.name}: ${textOf(result).length} characters`;
  },

  'completion/complete': notOffered('it has no command for it'),
  subscribe: notOffered('it has no command for it'),
};

for (const [name, work] of Object.entries(cases)) await runCase(name, work);
