// `poolctl connect`: the browser behind a port of this machine, over TLS with a certificate that only the pool vouches for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import tls from 'node:tls';
import { after, afterEach, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { acquire, freeAgain, release, startPool, startSite, until } from './pool.mjs';

let pool;
let site;
const children = new Set();
before(async () => {
  site = await startSite((request, response) => response.end('<title>by TLS</title>'));
  pool = await startPool({ options: ['--browser', '--tls'] });
});
after(async () => {
  site?.stop();
  await pool?.stop();
});

async function connectTo(lease, options = []) {
  const child = spawn(`${process.env.BINARIES}/poolctl`, ['--endpoint', pool.api, 'connect', ...(lease ? [lease.lease_id] : []), ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let said = '';
  child.stderr.on('data', (text) => { said += text; });
  const [line] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => [''])]);
  return { child, url: String(line).trim(), said: () => said };
}

// What a failed test leaves is not the next one's concern.
afterEach(async () => {
  for (const child of children) {
    child.kill('SIGINT');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  children.clear();
  await until('nothing is leased', async () => (await pool.status()).totals.free === 1);
});

test('any client drives the browser through the port, and the lease ends with the command', async () => {
  const lease = await acquire(pool);
  assert.match(lease.endpoint, /^https:/);
  assert.match(lease.tls_sha256, /^[0-9a-f]{64}$/);
  const { child, url } = await connectTo(lease);
  assert.match(url, /^ws:\/\/127\.0\.0\.1:\d+$/);
  for (const address of [url, url.replace('ws:', 'http:')]) {
    const browser = await chromium.connectOverCDP(address);
    const page = await browser.contexts()[0].newPage();
    await page.goto(site.url);
    assert.equal(await page.title(), 'by TLS');
    await browser.close();
  }
  child.kill('SIGINT');
  assert.equal((await once(child, 'exit'))[0], 0);
  await freeAgain(pool, lease.instance_id);
  assert.equal((await pool.call('GET', `/v1/leases/${lease.lease_id}`)).status, 404);
});

test('without a lease it takes one', async () => {
  const { child, url } = await connectTo();
  const browser = await chromium.connectOverCDP(url);
  await browser.close();
  child.kill('SIGTERM');
  await once(child, 'exit');
  await until('it is given back', async () => (await pool.status()).totals.free === 1);
});

test('a short lease is kept for as long as the command runs', async () => {
  const lease = await acquire(pool, { ttl_seconds: 4 });
  const { child, url } = await connectTo(lease);
  const browser = await chromium.connectOverCDP(url);
  const started = Date.parse(lease.expires_at);
  await until('twice its time has passed', () => Date.now() > started + 5_000);
  assert.ok(browser.isConnected());
  child.kill('SIGINT');
  await once(child, 'exit');
  await freeAgain(pool, lease.instance_id);
});

test('the certificate is the one that the lease names', async () => {
  const lease = await acquire(pool);
  const { hostname, port } = new URL(lease.endpoint);
  const socket = tls.connect({ host: hostname, port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  assert.equal(socket.getPeerX509Certificate().fingerprint256.replaceAll(':', '').toLowerCase(), lease.tls_sha256);
  socket.destroy();
  await release(pool, lease);
  // A lease that was given back before anyone came is noticed by a heartbeat.
  await freeAgain(pool, lease.instance_id);
});

test('web pages are kept out of the port', async () => {
  const { child, url } = await connectTo();
  const ask = (headers) => fetch(`${url.replace('ws:', 'http:')}/json/version`, { headers });
  assert.equal((await ask({})).status, 200);
  assert.equal((await ask({ origin: 'http://evil.example' })).status, 403);
  child.kill('SIGINT');
  await once(child, 'exit');
  await until('it is given back', async () => (await pool.status()).totals.free === 1);
});

test('a lease that is none is told', async () => {
  const { child, said } = await connectTo({ lease_id: '0.AAAAAAAAAAAA' });
  if (child.exitCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 1);
  assert.match(said(), /Not there/);
});
