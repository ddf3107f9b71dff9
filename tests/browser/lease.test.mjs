// A lease from its beginning to its end, as a caller lives it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { once } from 'node:events';
import WebSocket from 'ws';
import {
  acquire, bearer, connect, descendants, freeAgain, leased, nodeOf, ownBrowser, processes, release, renew, startPool, startSite, until,
} from './pool.mjs';

let pool;
let site;
before(async () => {
  site = await startSite((request, response) => response.end(`<title>${request.url}</title><h1>Here</h1>`));
  pool = await startPool();
});
after(async () => {
  site?.stop();
  await pool?.stop();
});

const titleOf = async (browser, path) => {
  const page = await browser.contexts()[0].newPage();
  await page.goto(site.url + path);
  return page.title();
};

const status = (lease, path, options = {}) => fetch(lease.endpoint + path, options);

test('a caller drives the browser, gives it back, and it is free again', async () => {
  await leased(pool, async (lease) => {
    const browser = await connect(lease);
    assert.equal(await titleOf(browser, '/a'), '/a');
    await browser.close();
  });
});

test('an address and a token in it are all that a client needs', async () => {
  await leased(pool, async (lease) => {
    const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/?access_token=${lease.access_token}`);
    await once(socket, 'open');
    socket.send(JSON.stringify({ id: 1, method: 'Browser.getVersion' }));
    const [answer] = await once(socket, 'message');
    assert.match(JSON.parse(answer).result.product, /Chrome/);
    socket.close();
  });
});

test('two clients share the browser of one lease', async () => {
  await leased(pool, async (lease) => {
    const [one, other] = await Promise.all([connect(lease), connect(lease)]);
    assert.deepEqual(await Promise.all([titleOf(one, '/one'), titleOf(other, '/other')]), ['/one', '/other']);
    await Promise.all([one.close(), other.close()]);
  });
});

test('a picture and a PDF take one request, and what is wrong is said', async () => {
  await leased(pool, async (lease) => {
    const post = (path, body) => status(lease, path, { method: 'POST', headers: bearer(lease), body });
    const picture = await post('/v1/screenshot', JSON.stringify({ url: `${site.url}/x`, full_page: true }));
    assert.equal(picture.headers.get('content-type'), 'image/png');
    assert.equal(Buffer.from(await picture.arrayBuffer()).toString('latin1', 1, 4), 'PNG');
    const sheet = await post('/v1/pdf', JSON.stringify({ url: `${site.url}/x` }));
    assert.equal(Buffer.from(await sheet.arrayBuffer()).toString('latin1', 0, 5), '%PDF-');
    for (const [body, wanted] of [
      ['{"url": "http://127.0.0.1:1/"}', 422], ['{"url": "nonsense"}', 422], ['{}', 400], ['{"url": 1}', 400], ['', 400],
      ['{"url": "http://a", "width": 0}', 400], ['{"url": "http://a", "colour": "red"}', 400], [`{"url": "${'x'.repeat(70_000)}"}`, 413],
    ]) {
      const refused = await post('/v1/screenshot', body);
      const problem = await refused.json();
      assert.equal(refused.status, wanted, `${body.slice(0, 60)}: ${JSON.stringify(problem)}`);
      assert.equal(refused.headers.get('content-type'), 'application/problem+json');
      assert.ok(problem.detail.length > 10);
    }
  });
});

test('people see the screen as it changes, and that the lease has ended', async () => {
  const eyes = await ownBrowser();
  const lease = await acquire(pool);
  const browser = await connect(lease);
  const page = await browser.contexts()[0].newPage();
  const seen = await eyes.newPage();
  await seen.goto(`${lease.endpoint}/v1/live?access_token=${lease.access_token}`);
  const middle = () => seen.evaluate(() => {
    const picture = document.getElementById('screen');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [1, 1];
    const context = canvas.getContext('2d');
    if (picture.naturalWidth) context.drawImage(picture, picture.naturalWidth / 2, picture.naturalHeight / 2, 1, 1, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  });
  for (const [color, is] of [['red', ([r, g, b]) => r > 200 && g < 60 && b < 60], ['blue', ([r, g, b]) => b > 200 && r < 60 && g < 60]]) {
    await page.setContent(`<body style="background: ${color}">`);
    await until(`${color} is seen`, async () => is(await middle()));
  }
  assert.equal(await seen.locator('[role=status]').textContent(), 'Live.');
  await release(pool, lease);
  await until('it says so', async () => (await seen.locator('[role=status]').textContent()) === 'The lease has ended.');
  await eyes.close();
  await freeAgain(pool, lease.instance_id);
});

test('what the node counts can be read with the token', async () => {
  await leased(pool, async (lease) => {
    await connect(lease).then((browser) => browser.close());
    const answer = await status(lease, '/metrics', { headers: bearer(lease) });
    assert.match(answer.headers.get('content-type'), /openmetrics-text/);
    const text = await answer.text();
    for (const line of [/^ec2_pool_node_leases_total [1-9]/m, /^ec2_pool_node_chrome_starts_total [1-9]/m, /^ec2_pool_node_heartbeats_total [1-9]/m, /^# EOF/m]) assert.match(text, line);
  });
});

test('only the token of this lease opens the node, and each refusal says what to do', async () => {
  const before = await acquire(pool);
  await connect(before).then((browser) => browser.close());
  await release(pool, before);
  await freeAgain(pool, before.instance_id);
  await leased(pool, async (lease) => {
    const [version, epoch, expiry, mac] = lease.access_token.split('.');
    const foreign = [
      'x', 'v1.1.1.x', [version, epoch, Number(expiry) + 100, mac].join('.'), [version, Number(epoch) + 1, expiry, mac].join('.'),
      `${version}.${epoch}.${expiry}.${mac.replace(/./, (first) => (first === 'A' ? 'B' : 'A'))}`,
    ];
    const paths = ['/', '/metrics', '/json/version', '/devtools/browser/x', '/v1/live', '/v1/live/socket'];
    const asked = async (path, token) => {
      const answer = await status(lease, path, { headers: bearer(token) });
      return [answer.status, (await answer.json()).type];
    };
    // The first use of the new lease ends the one before.
    assert.equal((await status(lease, '/json/version', { headers: bearer(lease) })).status, 200);
    for (const path of paths) {
      assert.deepEqual(await asked(path, before.access_token), [401, 'urn:ec2-pool:node:ended-lease'], path);
      for (const token of foreign) assert.deepEqual(await asked(path, token), [401, 'urn:ec2-pool:node:foreign-token'], `${path} ${token}`);
      assert.equal((await status(lease, path)).status, 401, path);
    }
    assert.equal((await status(lease, '/health')).status, 200);
  });
});

test('a lease that expires loses its sockets, and one that is renewed keeps them', async () => {
  const lease = await acquire(pool, { ttl_seconds: 3 });
  const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/`, { headers: bearer(lease) });
  await once(socket, 'open');
  const closed = once(socket, 'close');
  for (let renewals = 0; renewals < 3; renewals += 1) {
    const { expires_in_seconds: left } = await (await pool.call('GET', `/v1/leases/${lease.lease_id}`)).json();
    await until('a second of it has passed', async () =>
      (await (await pool.call('GET', `/v1/leases/${lease.lease_id}`)).json()).expires_in_seconds < left);
    await renew(pool, lease);
  }
  assert.equal(socket.readyState, WebSocket.OPEN);
  const [code, reason] = await closed;
  assert.deepEqual([code, String(reason)], [1008, 'the lease has ended']);
  const late = await status(lease, '/json/version', { headers: bearer(lease) });
  assert.equal(late.status, 401);
  await freeAgain(pool, lease.instance_id);
});

test('a release ends what is still open', async () => {
  const lease = await acquire(pool);
  const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/`, { headers: bearer(lease) });
  await once(socket, 'open');
  const closed = once(socket, 'close');
  await release(pool, lease);
  assert.equal((await closed)[0], 1008);
  await freeAgain(pool, lease.instance_id);
});

test('a Chrome that is killed is started anew for the same lease', async () => {
  await leased(pool, async (lease) => {
    const browser = await connect(lease);
    const lost = once(browser, 'disconnected');
    const [chrome] = descendants(nodeOf(pool).pid).filter(({ command }) => /--headless/.test(command) && !/ keep | --type=/.test(command));
    process.kill(chrome.pid, 'SIGKILL');
    await lost;
    const again = await connect(lease);
    assert.equal(await titleOf(again, '/again'), '/again');
    await again.close();
  });
});

test('a node that is killed leaves no Chrome, and another takes its place', async () => {
  const node = nodeOf(pool);
  const family = descendants(node.pid).map(({ pid }) => pid);
  assert.ok(family.length > 2);
  const { instances: [{ instance_id: killed }] } = await pool.status();
  process.kill(node.pid, 'SIGKILL');
  await until('nothing is left of it', () => !processes().some(({ pid }) => family.includes(pid)));
  await until('another instance is free', async () => {
    const { instances } = await pool.status();
    return instances.some(({ instance_id, state }) => instance_id !== killed && state === 'free');
  }, 150_000);
});
