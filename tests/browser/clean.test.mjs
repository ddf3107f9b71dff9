// The next caller finds nothing of the last one: each thing that a lease can leave is planted, and looked for by the next.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { acquire, connect, descendants, freeAgain, leased, nodeOf, processes, release, startPool, startSite, until } from './pool.mjs';

const LEASES = 50;
// Nobody else's files are called so.
const PLANTED = `ec2-pool-planted-${process.pid}`;
// The page answers slowly to /hang, so that a connection of the browser is open when the lease ends.
const PAGE = `<title>site</title><script>
  document.cookie = 'planted=1; max-age=100000';
  localStorage.planted = '1';
  const opened = indexedDB.open('planted', 1);
  opened.onupgradeneeded = () => opened.result.createObjectStore('store').put('1', 'planted');
  caches.open('planted').then((cache) => cache.put('/planted', new Response('1')));
  navigator.serviceWorker.register('/worker.js');
  fetch('/hang');
</script>`;
const LOOK = `(async () => ({
  cookie: document.cookie,
  storage: localStorage.planted ?? null,
  databases: (await indexedDB.databases()).map(({ name }) => name),
  caches: await caches.keys(),
  workers: (await navigator.serviceWorker.getRegistrations()).length,
}))()`;

let pool;
let site;
before(async () => {
  site = await startSite((request, response) => {
    if (request.url === '/hang') return;
    if (request.url === '/worker.js') response.setHeader('content-type', 'text/javascript');
    if (request.url === '/file') response.setHeader('content-disposition', 'attachment; filename="planted.txt"');
    response.end({ '/plant': PAGE, '/file': 'planted', '/worker.js': '' }[request.url] ?? '<title>bare</title>');
  });
  pool = await startPool();
});
after(async () => {
  site?.stop();
  await pool?.stop();
});

const plantedFiles = () => ['/tmp', '/var/tmp', '/dev/shm'].flatMap((directory) =>
  readdirSync(directory).filter((name) => name.startsWith(PLANTED)).map((name) => `${directory}/${name}`));

async function plant(browser) {
  const page = await browser.contexts()[0].newPage();
  await page.goto(`${site.url}/plant`);
  await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
  assert.deepEqual(await page.evaluate(LOOK), {
    cookie: 'planted=1', storage: '1', databases: ['planted'], caches: ['planted'], workers: 1,
  });
  // DevTools let a caller save files wherever Chrome may write, also outside its own directory.
  const devtools = await browser.newBrowserCDPSession();
  await devtools.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: `/tmp/${PLANTED}-directory` });
  const download = await browser.contexts()[0].newPage();
  await download.goto(`${site.url}/file`).catch(() => {});
  await until('the file is there', () => existsSync(`/tmp/${PLANTED}-directory/planted.txt`));
  await until('a connection hangs', () => site.requests.some(({ url }) => url === '/hang'));
}

test('cookies, storage, workers, files, connections and processes are gone', async () => {
  const lease = await acquire(pool);
  const node = nodeOf(pool).pid;
  const family = descendants(node);
  const profiles = family.flatMap(({ command }) => command.match(/--user-data-dir=(\S+)/)?.[1] ?? []);
  assert.ok(profiles.length > 0 && statSync(profiles[0]).isDirectory());
  const browser = await connect(lease);
  await plant(browser);
  await browser.close();
  await release(pool, lease);
  await freeAgain(pool, lease.instance_id);

  const pids = new Set(descendants(node).map(({ pid }) => pid));
  assert.deepEqual(family.filter(({ pid }) => pids.has(pid)), [], 'no process of the lease lives');
  assert.deepEqual(profiles.filter(existsSync), [], 'no profile of the lease is there');
  assert.deepEqual(plantedFiles(), []);
  await until('no connection of the lease is open', () => site.open.size === 0);

  const next = await acquire(pool);
  assert.equal(next.instance_id, lease.instance_id);
  const fresh = await connect(next);
  assert.deepEqual(fresh.contexts().flatMap((context) => context.pages()).map((page) => page.url()), ['about:blank']);
  const page = await fresh.contexts()[0].newPage();
  await page.goto(`${site.url}/bare`);
  assert.deepEqual(await page.evaluate(LOOK), { cookie: '', storage: null, databases: [], caches: [], workers: 0 });
  assert.equal(site.requests.findLast(({ url }) => url === '/bare').cookie, undefined);
  await fresh.close();
  await release(pool, next);
  await freeAgain(pool, next.instance_id);
});

test(`${LEASES} leases one after the other leave the node as it was`, async () => {
  const node = nodeOf(pool).pid;
  const memory = () => processes().find(({ pid }) => pid === node).rss;
  const count = () => descendants(node).length;
  let settled;
  for (let number = 1; number <= LEASES; number += 1) {
    await leased(pool, async (lease) => {
      const browser = await connect(lease);
      const page = await browser.contexts()[0].newPage();
      await page.goto(`${site.url}/lease-${number}`);
      await page.screenshot();
      await browser.close();
    });
    if (number === LEASES / 5) settled = { rss: memory(), processes: count() };
  }
  const grown = memory() / settled.rss;
  assert.ok(grown < 1.3, `the node's memory is ${grown} times what it was after ${LEASES / 5} leases`);
  await until('there are as many processes as before', () => count() <= settled.processes);
  const zombies = processes().filter(({ state, parent }) => state === 'Z' && (parent === node || descendants(node).some(({ pid }) => pid === parent)));
  assert.deepEqual(zombies, []);
});
