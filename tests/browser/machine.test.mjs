// A node as a machine of EC2's: what the metadata service tells it, and what becomes of a machine that the pool has forgotten.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BINARIES, acquire, bearer, connect, descendants, freeAgain, release, renew, startPool, until } from './pool.mjs';

const SPOT = '/latest/meta-data/spot/instance-action';

let pool;
let metadata;
let node;
let first;
let said = '';
const directory = mkdtempSync(join(tmpdir(), 'ec2-pool-machine-'));
// Chrome's user passes through it.
chmodSync(directory, 0o711);
const shutDown = join(directory, 'shut-down');

// Version 2 of the service: nothing without a token.
async function startMetadata(values) {
  const server = http.createServer((request, response) => {
    if (request.method === 'PUT' && request.url === '/latest/api/token') {
      response.setHeader('x-aws-ec2-metadata-token-ttl-seconds', '21600');
      return response.end('token');
    }
    if (request.headers['x-aws-ec2-metadata-token'] !== 'token') return response.writeHead(401).end();
    const value = values[request.url];
    return value === undefined ? response.writeHead(404).end() : response.end(value);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { values, url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

// An instance of the simulated EC2 that does not boot by itself is this node.
before(async () => {
  pool = await startPool({ options: [], free: 0, variables: { POOL_MIN_AVAILABLE: '0', POOL_AFTER_RELEASE: 'reset' } });
  const faults = { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"guest": {"boots": false}}' };
  assert.ok((await fetch(`${pool.ec2}/_admin/faults`, faults)).ok);
  first = await (await pool.call('POST', '/v1/leases', { wait_seconds: 300 })).json();
  const dark = async () => (await (await fetch(`${pool.ec2}/_admin/instances`)).json()).instances.find(({ state }) => state === 'running');
  const { id, private_ip: address } = await until('an instance is launched for it', dark);
  metadata = await startMetadata({ '/latest/meta-data/instance-id': id });
  const options = [
    'serve', '--api', pool.api, '--bind', address, '--port', pool.healthPort, '--plain-http', '--heartbeat-seconds', '1', '--state-directory', join(directory, 'state'),
    '--shutdown-command', `touch ${shutDown}`, '--shutdown-after-seconds', '3', '--note-contact-in', directory,
  ];
  if (process.getuid() === 0) options.push('--browser-user', 'nobody');
  node = spawn(`${BINARIES}/browser-node`, options, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: 'local' },
  });
  node.stderr.on('data', (text) => { said += text; });
});
after(async () => {
  node?.kill();
  metadata?.stop();
  await pool?.stop();
  rmSync(directory, { recursive: true, force: true });
});

test('it learns who it is from the metadata service, and serves who waits for it', async () => {
  const look = async () => (await pool.call('GET', `/v1/leases/${first.lease_id}`)).json();
  await until('the lease is there', async () => (await look()).state === 'active').catch((error) => { throw new Error(`${error.message}\n${said}`); });
  const lease = await look();
  await connect(lease).then((browser) => browser.close());
  await release(pool, lease);
  await freeAgain(pool, lease.instance_id);
  assert.ok(Number(readFileSync(join(directory, 'last-contact'), 'utf8')) > 0);
});

test('when memory runs out it is not the node that goes', () => {
  const score = (pid) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
  const family = descendants(node.pid);
  const [keeper] = family.filter(({ command }) => / keep /.test(command));
  assert.ok(score(keeper.pid) > score(node.pid), 'what it starts is offered first; Chrome raises its pages by itself');
  for (const { pid, command } of family) assert.ok(score(pid) >= score(node.pid), `${command}: ${score(pid)}`);
});

test('a Spot notice lets the lease go on that is there, and takes no other', async () => {
  const lease = await acquire(pool);
  const browser = await connect(lease);
  metadata.values[SPOT] = '{"action": "terminate", "time": "2026-11-28T12:00:00Z"}';
  const health = await until('the node has seen it', async () => {
    const answer = await fetch(`${lease.endpoint}/health`);
    return answer.status === 503 && answer.json();
  });
  assert.match(health.detail, /EC2 takes this instance back.*terminate/);
  assert.match(browser.version(), /\d/);
  const page = await browser.newPage();
  assert.equal(await page.evaluate('1 + 1'), 2);
  // Its token goes on, renewed or not.
  const { access_token: renewed } = await renew(pool, lease);
  assert.equal((await fetch(`${lease.endpoint}/json/version`, { headers: bearer(renewed) })).status, 200);
  await browser.close();
  await release(pool, lease);
});

test('a machine that the pool has forgotten shuts down', async () => {
  assert.equal(existsSync(shutDown), false);
  await pool.stop();
  await until('it shuts down', () => existsSync(shutDown));
});
