// What the scripts in this folder share: where the service is, and how checks are run and counted.

import assert from "node:assert/strict";
import { basename } from "node:path";

export const base = process.env.POINTSMAN_BASE;
export const apiKey = process.env.POINTSMAN_KEY;
export const text = "Fine weather in Oslo.";
export const ask = "What is the weather like in Oslo?";

/** The body that the upstream got last. */
export async function sent() {
  return (await fetch(process.env.UPSTREAM_BASE)).json();
}

/** The error of `kind` that `call` must throw. */
export async function refused(kind, call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

/** Runs every check of an object of functions; the process fails when one does. */
export async function run(checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok     ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}\n${error.stack}`);
    }
  }
  const all = Object.keys(checks).length;
  console.log(`${basename(process.argv[1])}: ${all - failed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
