// Two leases at a time on one node: each has a browser of its own, and none sees the other.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { once } from 'node:events';
import WebSocket from 'ws';
import { acquire, bearer, connect, descendants, freeAgain, nodeOf, release, startPool, startSite, until } from './pool.mjs';

let pool;
let site;
before(async () => {
  site = await startSite((request, response) => response.end('<h1>Here</h1>'));
  pool = await startPool({ free: 2, variables: { POOL_SESSIONS_PER_INSTANCE: '2', POOL_MIN_AVAILABLE: '2' } });
});
after(async () => {
  site?.stop();
  await pool?.stop();
});

const machine = ({ instance_id: id }) => id.split('-').slice(0, 2).join('-');
const open = async (lease) => {
  const browser = await connect(lease);
  const context = browser.contexts()[0];
  const page = await context.newPage();
  await page.goto(site.url);
  return { browser, context, page };
};

test('two leases share a node, and nothing else', async () => {
  const [one, other] = [await acquire(pool), await acquire(pool)];
  assert.equal(one.endpoint, other.endpoint);
  assert.equal(machine(one), machine(other));
  assert.notEqual(one.instance_id, other.instance_id);
  const [first, second] = [await open(one), await open(other)];
  await first.context.addCookies([{ name: 'secret', value: '1', url: site.url }]);
  await first.page.evaluate(() => localStorage.setItem('secret', '1'));
  assert.deepEqual(await second.context.cookies(), []);
  assert.equal(await second.page.evaluate(() => localStorage.getItem('secret')), null);
  const chromes = descendants(nodeOf(pool).pid).filter(({ command }) => /--headless/.test(command) && !/ keep | --type=|chrome-sandbox/.test(command));
  const users = new Set(chromes.map(({ uid }) => uid));
  if (process.getuid() === 0) assert.equal(users.size, 2, 'each has a user of its own');

  // The end of one is nothing to the other.
  const closed = once(first.browser, 'disconnected');
  await release(pool, one);
  await closed;
  assert.equal(await second.page.evaluate('1 + 1'), 2);
  const refused = await fetch(`${one.endpoint}/json/version`, { headers: bearer(one) });
  assert.equal(refused.status, 401);
  await freeAgain(pool, one.instance_id);
  assert.equal(await second.page.evaluate('1 + 1'), 2);
  await release(pool, other);
  await freeAgain(pool, other.instance_id);
});

test('a token opens its own session, whichever it is', async () => {
  const leases = [await acquire(pool), await acquire(pool)];
  for (const lease of leases) {
    const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/`, { headers: bearer(lease) });
    await once(socket, 'open');
    socket.close();
  }
  const forged = leases[0].access_token.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A'));
  assert.equal((await fetch(`${leases[0].endpoint}/json/version`, { headers: bearer(forged) })).status, 401);
  for (const lease of leases) await release(pool, lease);
  for (const lease of leases) await freeAgain(pool, lease.instance_id);
});

test('a node whose session is drained goes when the other session has ended', async () => {
  const lease = await acquire(pool);
  const { instances } = await pool.status();
  const idle = instances.find(({ instance_id: id }) => id !== lease.instance_id);
  const order = { order: 'drain', reason: 'look at it' };
  assert.equal((await pool.call('POST', `/v1/operator/instances/${idle.instance_id}`, order)).status, 200);
  const browser = await connect(lease);
  assert.match(browser.version(), /\d/);
  await browser.close();
  await release(pool, lease);
  await until('another node serves', async () => {
    await pool.run('reap-idle');
    await pool.run('scale');
    const now = (await pool.status()).instances;
    return now.filter(({ instance_id: id, state }) => state === 'free' && machine({ instance_id: id }) !== machine(lease)).length === 2;
  }, 200_000);
});

test('a machine that is busy offers no further session', async () => {
  await pool.stop();
  // Every machine uses more memory than that.
  const variables = { POOL_SESSIONS_PER_INSTANCE: '2', POOL_MIN_AVAILABLE: '2', POOL_HEARTBEAT_SECONDS: '1', BROWSER_NODE_BUSY_PERCENT_MAX: '1' };
  pool = await startPool({ free: 2, variables });
  const lease = await acquire(pool);
  await connect(lease).then((browser) => browser.close());
  await release(pool, lease);
  const story = async () => (await pool.call('GET', `/v1/instances/${lease.instance_id}`)).json();
  let beats = 0;
  let last = (await story()).beat_at;
  await until('it has beaten three times and is not offered', async () => {
    const { now, beat_at: at } = await story();
    assert.notEqual(now.state, 'free');
    beats += at !== last && now.state === 'resetting';
    last = at;
    return beats >= 3;
  });
  const other = await acquire(pool);
  assert.notEqual(other.instance_id, lease.instance_id, 'what is free already stays so');
  await release(pool, other);
});
