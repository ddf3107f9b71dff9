// What the tests have in common: a pool under `cargo local --browser`, leases of it, and a site for browsers to visit.
//
// Rule: nothing is waited for by the clock alone. `until` asks again and again, and says what it waited for when it gives up.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';
import { chromium } from 'playwright-core';

export const BINARIES = process.env.BINARIES;
const GIVE_UP_MS = 100_000;

export async function until(what, ask, giveUpMs = GIVE_UP_MS) {
  const end = Date.now() + giveUpMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `gave up waiting until ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

// Starts a pool of one instance, which is there when this returns.
export async function startPool({ options = ['--browser'], variables = {}, free = 1 } = {}) {
  const ports = [];
  for (const flag of ['--port', '--dynamodb-port', '--ec2-port', '--lambda-port']) ports.push(flag, String(await freePort()));
  const api = `http://127.0.0.1:${ports[1]}`;
  const health = await freePort();
  const child = spawn(`${BINARIES}/pool-local`, ['--binaries', BINARIES, ...ports, ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, POOL_HEALTH_PORT: String(health), POOL_MAX: '1', POOL_HEARTBEAT_SECONDS: '5', ...variables },
  });
  let said = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (text) => { said += text; });
  const pool = {
    api,
    ec2: `http://127.0.0.1:${ports[5]}`,
    healthPort: String(health),
    child,
    said: () => said,
    call: (method, path, body, headers = {}) => fetch(api + path, {
      method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers },
    }),
    // The schedules run each minute; who does not want to wait has one run now.
    run: async (name) => {
      const event = { 'detail-type': 'Scheduled Event', source: 'aws.events', detail: {} };
      const answer = await fetch(`http://127.0.0.1:${ports[7]}/2015-03-31/functions/${name}/invocations`, { method: 'POST', body: JSON.stringify(event) });
      assert.equal(answer.status, 200, await answer.text());
    },
    status: async () => (await pool.call('GET', '/v1/pool')).json(),
    stop: async () => {
      if (child.exitCode === null) {
        child.kill('SIGINT');
        await once(child, 'exit');
      }
    },
  };
  await until('the pool has what it is to have free', async () => {
    assert.equal(child.exitCode, null, said);
    return (await pool.status().catch(() => ({})))?.totals?.free >= free;
  }).catch((error) => { throw new Error(`${error.message}\n${said}`); });
  return pool;
}

// A lease, however long the pool has to grow for it: whoever waits is answered 202 and looks again.
export async function acquire(pool, wish = {}) {
  const answer = await pool.call('POST', '/v1/leases', { wait_seconds: 300, ...wish }, { prefer: 'wait=20' });
  let lease = await answer.json();
  assert.ok([201, 202].includes(answer.status), JSON.stringify(lease));
  await until('the lease is there', async () => {
    if (lease.state === 'pending') lease = await (await pool.call('GET', `/v1/leases/${lease.lease_id}`, undefined, { prefer: 'wait=20' })).json();
    return lease.state === 'active';
  });
  return lease;
}

export async function release(pool, lease) {
  const answer = await pool.call('DELETE', `/v1/leases/${lease.lease_id}`);
  assert.equal(answer.status, 204);
}

export async function renew(pool, lease) {
  return (await pool.call('POST', `/v1/leases/${lease.lease_id}/renew`, {})).json();
}

export const bearer = (lease) => ({ authorization: `Bearer ${lease.access_token ?? lease}` });

export const connect = (lease) => chromium.connectOverCDP(lease.endpoint, { headers: bearer(lease) });

export async function freeAgain(pool, instance) {
  await until(`${instance} is free again`, async () => {
    const { instances } = await pool.status();
    return instances.find(({ instance_id, state }) => instance_id === instance && state === 'free');
  });
}

// Leases an instance for as long as `work` takes. It is given back whatever happens, and free again when this returns.
export async function leased(pool, work, wish) {
  const lease = await acquire(pool, wish);
  try {
    await work(lease);
  } finally {
    await release(pool, lease);
    await freeAgain(pool, lease.instance_id);
  }
}

const PLACES = ['/usr/bin/chromium', '/usr/bin/google-chrome-stable', '/usr/bin/google-chrome'];

// A browser of the tests' own, for whoever looks at pages of the project's: those need no sandbox, which is not for root.
export const ownBrowser = () => chromium.launch({ executablePath: PLACES.find(existsSync), chromiumSandbox: false });

// A site on loopback. `requests` has what browsers asked for, and `open` the connections that they hold.
export async function startSite(answer) {
  const site = { requests: [], open: new Set() };
  const server = http.createServer((request, response) => {
    site.requests.push({ url: request.url, cookie: request.headers.cookie });
    answer(request, response);
  });
  server.on('connection', (socket) => {
    site.open.add(socket);
    socket.on('close', () => site.open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  site.url = `http://127.0.0.1:${server.address().port}`;
  site.stop = () => {
    server.close();
    for (const socket of site.open) socket.destroy();
  };
  return site;
}

// Every process: its parent, its state, its resident memory in bytes, its command line and user.
export function processes() {
  const found = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name) => status.match(new RegExp(`^${name}:\\s+(\\S+)`, 'm'))?.[1];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');
      const rss = Number(field('VmRSS') ?? 0) * 1024;
      found.push({ pid: Number(pid), parent: Number(field('PPid')), state: field('State'), uid: field('Uid'), rss, command });
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

export function descendants(pid) {
  const all = processes();
  const family = new Set([pid]);
  for (let before = 0; before !== family.size;) {
    before = family.size;
    for (const process of all) if (family.has(process.parent)) family.add(process.pid);
  }
  return all.filter((process) => process.pid !== pid && family.has(process.pid));
}

export const nodeOf = (pool) => descendants(pool.child.pid).find(({ command }) => / serve /.test(command));
