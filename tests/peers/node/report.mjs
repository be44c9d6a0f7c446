// Runs cases and prints a line of JSON for each: {"case": …, "ok": true, false or null, "note": …}. `ok` is null for what
// the client's API can't do.

/** Nothing takes longer than this; a client that would wait for ever is told as such. */
const LIMIT_SECONDS = 60;

/** The client's API has no way to do this. */
export class NotOffered extends Error {}

/** Runs one case. What `work` resolves to is the note; what it throws is the failure. */
export async function runCase(name, work) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_SECONDS} s`)), LIMIT_SECONDS * 1000);
  });
  try {
    tell(name, true, await Promise.race([work(), limit]));
  } catch (error) {
    if (error instanceof NotOffered) tell(name, null, error.message);
    else tell(name, false, `${error.name}: ${error.message} (${place(error)})`);
  } finally {
    clearTimeout(timer);
  }
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

function tell(name, ok, note) {
  console.log(JSON.stringify({ case: name, ok, note: String(note) }));
}

/** Where in these scripts an error came up. */
function place(error) {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.includes('file:') && !line.includes('node_modules'));
  return frames[0]?.match(/([\w.]+:\d+):\d+\)?$/)?.[1] ?? 'in the client';
}
