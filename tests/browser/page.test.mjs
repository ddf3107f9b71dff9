// The live page of `cargo local`, as people use it: with eyes, by keyboard, and read aloud.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { acquire, ownBrowser, release, startPool, until } from './pool.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let pool;
let browser;
let page;
const troubles = [];
before(async () => {
  pool = await startPool({ options: ['--boot-seconds', '0'], variables: { POOL_MAX: '3', POOL_MIN_AVAILABLE: '1' } });
  browser = await ownBrowser();
  page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') troubles.push(message.text()); });
  await page.goto(`${pool.api}/`);
});
after(async () => {
  await browser?.close();
  await pool?.stop();
});

const states = () => page.locator('#instances tr td:nth-child(2)').allTextContents();
const number = (name) => page.locator(`#totals div:has(dt:text-is("${name}")) dd`).textContent();

test('it shows the pool, and each change as it happens', async () => {
  await until('the free instance is there', async () => (await states()).includes('free'));
  assert.equal(await page.locator('h1').textContent(), 'local');
  assert.match(await number('USD an hour'), /0\.0[1-9]/);
  const lease = await acquire(pool);
  await until('its lease is seen', async () => (await states()).includes('leased') && (await number('Leased')) === '1');
  const row = page.locator(`#instances tr[data-key="${lease.instance_id}"]`);
  assert.equal(await row.locator('td').first().textContent(), 'leased');
  await until('the event is told', async () => (await page.locator('#events li').allTextContents()).some((text) => text.includes(`${lease.instance_id}: free -> leased`)));
  await release(pool, lease);
  await until('it is free again', async () => (await number('Leased')) === '0');
  assert.match(await page.title(), /free, 0 leased/);
});

test('the keyboard reaches everything, and a pause holds it', async () => {
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'pause');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#pause').getAttribute('aria-pressed'), 'true');
  const lease = await acquire(pool);
  await until('the pool knows the lease', async () => (await pool.status()).totals.leased === 1);
  // What was shown meanwhile is not: three messages have come.
  const messages = () => page.evaluate(() => window.messages ??= (source.addEventListener('message', () => { window.messages += 1; }), 0));
  await messages();
  for (let round = 0; round < 2; round += 1) {
    await release(pool, await acquire(pool));
    await until('a change was sent', async () => (await messages()) > round);
  }
  assert.equal(await number('Leased'), '0');
  await page.keyboard.press('Space');
  await until('it goes on', async () => (await number('Leased')) === '1');
  for (const region of ['instances-title', 'shards-title', 'events-title']) {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-labelledby')), region);
  }
  await release(pool, lease);
});

test('a screen reader finds names, roles and contrast', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
  }
  await until('the sums are spoken', async () => /free, \d+ leased/.test(await page.locator('[role=status]').textContent()));
});

test('nothing is fetched from elsewhere, and nothing went wrong', async () => {
  const addresses = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  assert.deepEqual(addresses.filter((address) => !address.startsWith(pool.api) && !address.startsWith('data:')), []);
  assert.deepEqual(troubles, []);
});

test('it says when the pool has gone, and an open page does not hold it up', async () => {
  await pool.stop();
  await until('it says so', async () => (await page.locator('#lost').textContent()).includes('does not answer'));
});
