// A board with notes, on the package `@modelcontextprotocol/sdk`: a server for our client. It speaks the revisions with a
// session. The one on the crate rmcp has the same, and a task.
//
// usage: sdk_server.mjs http   serves on a free port and prints its URL
//        sdk_server.mjs stdio

import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { completable } from '@modelcontextprotocol/sdk/server/completable.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const BOARD = 'note://board';
const NAMES = ['ada', 'adele', 'grace'];
const NAME_FORM = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
const STEP_MS = 50;

/** What all sessions share. */
const board = Object.assign(new EventEmitter(), { text: 'nothing yet', cancelled: 0 });

function said(value) {
  return { content: [{ type: 'text', text: JSON.stringify(value) }], structuredContent: value };
}

/** Counts with progress, until it is told to stop. */
async function count({ to }, { signal, _meta, sendNotification }) {
  for (let step = 1; step <= to; step += 1) {
    await pause(STEP_MS);
    if (signal.aborted) {
      board.cancelled += 1;
      throw new Error('cancelled');
    }
    const params = { progressToken: _meta?.progressToken, progress: step, total: to };
    if (_meta?.progressToken !== undefined) await sendNotification({ method: 'notifications/progress', params });
  }
  return said({ counted: to });
}

/** What one session is served by. */
function notes() {
  const server = new McpServer({ name: 'notes-on-sdk', version: '1.0.0' });
  server.registerTool('count', { description: 'Counts, with progress.', inputSchema: { to: z.number().int() } }, count);
  server.registerTool('cancelled', { description: 'How many calls were cancelled.' }, async () => said({ calls: board.cancelled }));
  server.registerTool('write', { description: 'Writes on the board.', inputSchema: { text: z.string() } }, async ({ text }) => {
    board.text = text;
    board.emit('change');
    return said({});
  });
  server.registerTool('introduce', { description: 'Asks for a name.' }, async () => {
    const { content } = await server.server.elicitInput({ message: 'who are you?', requestedSchema: NAME_FORM });
    return said({ hello: content?.name });
  });
  server.registerResource('board', BOARD, {}, async ({ href }) => ({ contents: [{ uri: href, text: board.text }] }));
  const greetings = new ResourceTemplate('note://greetings/{name}', { list: undefined });
  server.registerResource('greeting', greetings, {}, async ({ href }, { name }) => ({
    contents: [{ uri: href, text: `hello, ${name}` }],
  }));
  const name = completable(z.string(), (part) => NAMES.filter((known) => known.startsWith(part)));
  server.registerPrompt('greet', { description: 'A greeting', argsSchema: { name } }, (args) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `say hello to ${args.name}` } }],
  }));
  subscribable(server.server);
  return server;
}

/** The SDK leaves subscriptions to the server that has them. */
function subscribable(server) {
  const tell = () => server.sendResourceUpdated({ uri: BOARD });
  server.registerCapabilities({ resources: { subscribe: true } });
  server.setRequestHandler(SubscribeRequestSchema, async () => {
    board.on('change', tell);
    return {};
  });
  server.setRequestHandler(UnsubscribeRequestSchema, async () => {
    board.off('change', tell);
    return {};
  });
}

async function serveHttp() {
  const sessions = new Map();
  const open = async () => {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await notes().connect(transport);
    return transport;
  };
  const http = createServer(async (request, response) => {
    const id = request.headers['mcp-session-id'];
    if (id !== undefined && !sessions.has(id)) {
      response.writeHead(404).end();
      return;
    }
    const transport = id === undefined ? await open() : sessions.get(id);
    await transport.handleRequest(request, response);
  });
  http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
}

if (process.argv[2] === 'http') await serveHttp();
else await notes().connect(new StdioServerTransport());
