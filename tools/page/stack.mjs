// The local stack with a table, and the built command line that makes pages of it.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import path from 'node:path';

import { written } from './fixture.mjs';

const TABLE = 'rulekeeper';
const programs = process.env.RULEKEEPER_PROGRAMS;
if (!programs)
  throw new Error('RULEKEEPER_PROGRAMS does not name the folder with the built programs: run tools/page/test');

// Starts the stack and gives the environment in which clients find it, and a way to end it.
export async function start() {
  const child = spawn(path.join(programs, 'rulekeeper-local'), ['serve', '--table', TABLE, '--region', 'eu-west-1'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const env = {};
  for await (const line of createInterface({ input: child.stdout })) {
    const [, name, value] = line.match(/^export (\w+)=(.*)$/) ?? [];
    if (name) env[name] = value;
    if (name === 'RULEKEEPER_TABLE') break;
  }
  if (!env.RULEKEEPER_TABLE) throw new Error(`rulekeeper-local did not start: ${JSON.stringify(env)}`);
  return { env, end: () => child.kill() };
}

// Writes items into the table, 25 to a call, as many as DynamoDB takes.
export async function fill({ env }, items, account) {
  const all = written(items, account);
  const url = env.AWS_ENDPOINT_URL_DYNAMODB ?? env.AWS_ENDPOINT_URL;
  for (let at = 0; at < all.length; at += 25) {
    const puts = all.slice(at, at + 25).map((Item) => ({ PutRequest: { Item } }));
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': 'DynamoDB_20120810.BatchWriteItem',
        'x-amz-date': '20261122T000000Z',
        authorization: `AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261122/eu-west-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0`,
      },
      body: JSON.stringify({ RequestItems: { [TABLE]: puts } }),
    });
    const body = await answer.text();
    if (!answer.ok || Object.keys(JSON.parse(body).UnprocessedItems ?? {}).length)
      throw new Error(`BatchWriteItem: ${answer.status} ${body}`);
  }
}

// Runs the command line; gives its standard output and error, and how long it took.
export function rulekeeper({ env }, account, ...words) {
  const began = performance.now();
  const { HOME, PATH } = process.env;
  const done = spawnSync(path.join(programs, 'rulekeeper'), [...words, '--account', account], {
    env: { HOME, PATH, ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (done.status !== 0) throw new Error(`rulekeeper ${words.join(' ')}: ${done.status} ${done.stderr}`);
  return { out: done.stdout, err: done.stderr, ms: Math.round(performance.now() - began) };
}
