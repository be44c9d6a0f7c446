// What the Node.js clients expect of the gateway.

import { check } from './report.mjs';

export const MODERN = '2026-07-28';
export const TOOLS = ['generate_image', 'img2img', 'inpaint', 'run_workflow', 'list_workflows', 'list_models', 'get_job_status'];
export const PROMPT = { prompt: 'a fox in the snow' };
export const CHECKPOINTS = 'comfy://models/checkpoints';
export const TEMPLATE = 'comfy://workflows/{name}';

export const jobUri = (job) => `comfy://jobs/${job.id}`;

/** Says how large the picture is that generate_image answered with. */
export function pictureOf(result) {
  const picture = result.content.find((content) => content.type === 'image');
  check(picture?.data.length > 100, 'the answer has no picture');
  return `a picture of ${Buffer.from(picture.data, 'base64').length} bytes`;
}

/** The job that a resource tells of. */
export const jobOf = (result) => JSON.parse(result.contents[0].text).job;

export const isOver = (job) => ['succeeded', 'failed', 'cancelled'].includes(job.state);

/** Something for each argument that a prompt asks for. */
export function argumentsOf(prompt) {
  const required = (prompt.arguments ?? []).filter((argument) => argument.required);
  return Object.fromEntries(required.map((argument) => [argument.name, 'a fox']));
}

/** The text of what a prompt came to. */
export function textOf(result) {
  const contents = result.messages.map((message) => message.content);
  return contents.filter((content) => content.type === 'text').map((content) => content.text).join(' ');
}
