// Whoever means harm, with a token or without, takes nothing down but his own session.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { once } from 'node:events';
import net from 'node:net';
import WebSocket from 'ws';
import { acquire, bearer, connect, freeAgain, nodeOf, processes, release, startPool, until } from './pool.mjs';

const CONNECTIONS = 1_000;
// Whole ones: who stops in the middle of a frame is a slow caller, not a wrong one.
const BAD_FRAMES = [
  [0xff, 0x80, 0, 0, 0, 0], // bits and an operation that nobody has given a meaning
  [0x81, 0x02, 0x41, 0x41], // without a mask
  [0x83, 0x80, 0, 0, 0, 0], // an operation without meaning
  [0x81, 0xff, 0x7f, ...Array(7).fill(0xff), 1, 2, 3, 4], // as long as can be said
];

let pool;
let lease;
before(async () => {
  pool = await startPool();
  lease = await acquire(pool);
});
after(async () => {
  await pool?.stop();
});

const address = () => {
  const { hostname, port } = new URL(lease.endpoint);
  return { host: hostname, port: Number(port) };
};
const dial = async (text = '') => {
  const socket = net.connect(address());
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
  return socket;
};
const healthy = async () => assert.equal((await fetch(`${lease.endpoint}/health`)).status, 200);
const handshake = () => [
  'GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', `Authorization: Bearer ${lease.access_token}`, '', '',
].join('\r\n');

async function worksStill() {
  await healthy();
  const browser = await connect(lease);
  assert.match(browser.version(), /\d/);
  await browser.close();
}

test('frames that are none end their socket and nothing else', async () => {
  for (const bytes of BAD_FRAMES) {
    const socket = await dial(handshake());
    const [answer] = await once(socket, 'data');
    assert.match(String(answer), /^HTTP\/1.1 101/);
    socket.write(Buffer.from(bytes));
    await once(socket, 'close');
  }
  await worksStill();
});

test('a message of 100 MB ends its socket, and the node keeps its memory', async () => {
  const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/`, { headers: bearer(lease) });
  socket.on('error', () => {});
  await once(socket, 'open');
  socket.send('x'.repeat(100_000_000));
  await once(socket, 'close');
  const { rss } = processes().find(({ pid }) => pid === nodeOf(pool).pid);
  assert.ok(rss < 200_000_000, `${rss} bytes`);
  await worksStill();
});

test('who sends a request byte by byte is cut off', async () => {
  const socket = await dial('GET /health HTTP/1.1\r\nHost: x\r\n');
  const closed = once(socket, 'close');
  const drip = setInterval(() => socket.write('X-A: b\r\n'), 500);
  // Whoever says nothing at all is, too.
  const silent = once(await dial(), 'close');
  await Promise.all([closed, silent]);
  clearInterval(drip);
  await worksStill();
});

test('a body that does not come is not waited for', async () => {
  const head = ['POST /v1/screenshot HTTP/1.1', 'Host: x', `Authorization: Bearer ${lease.access_token}`, 'Content-Length: 100', '', ''];
  const socket = await dial(head.join('\r\n'));
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1.1 504/);
  socket.destroy();
  await worksStill();
});

test(`${CONNECTIONS} connections without a token keep nobody out for long`, async () => {
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => dial('GET / HTTP/1.1\r\n')));
  await worksStill();
  await until('all of them are closed', () => sockets.every(({ closed, readableEnded }) => closed || readableEnded));
  await worksStill();
});

test('heads and paths that are too long or odd are refused', async () => {
  for (const text of [
    `GET /${'a'.repeat(200_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(200_000)}\r\n\r\n`,
    'NONSENSE\r\n\r\n', '\0\0\0\0\r\n\r\n', 'GET http://[::1 HTTP/1.1\r\n\r\n',
  ]) {
    const socket = await dial(text);
    const answer = await Promise.race([once(socket, 'data').then(([data]) => String(data)), once(socket, 'close').then(() => '')]);
    assert.doesNotMatch(answer, /^HTTP\/1.1 [25]/);
    socket.destroy();
  }
  for (const path of ['/nothing', '/json/../../etc/passwd', '/devtools/nothing', '/json/nothing', '/%00', '/v1/live/other']) {
    const answer = await fetch(lease.endpoint + path, { headers: bearer(lease) });
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    await answer.text();
  }
  await worksStill();
});

test('a lease has only so many sockets', async () => {
  const sockets = [];
  let refused;
  while (!refused) {
    const socket = new WebSocket(`${lease.endpoint.replace('http', 'ws')}/`, { headers: bearer(lease) });
    const [outcome] = await Promise.race([
      once(socket, 'open').then(() => ['open']), once(socket, 'unexpected-response').then(([, answer]) => [answer.statusCode]),
    ]);
    if (outcome === 'open') sockets.push(socket);
    else refused = outcome;
    assert.ok(sockets.length < 100);
  }
  assert.equal(refused, 429);
  for (const socket of sockets) socket.terminate();
  await until('a place is free', async () => (await fetch(`${lease.endpoint}/json/version`, { headers: bearer(lease) })).status === 200);
  await worksStill();
  await release(pool, lease);
  await freeAgain(pool, lease.instance_id);
});
