// Logs in to a node in a real browser: `node browser.mjs CHROMIUM NODE ISSUER SECURE_NODE`. Prints each
// step that went well, and fails at the first that did not.

import assert from 'node:assert/strict';

import { chromium } from 'playwright-core';

const [executablePath, node, issuer, secure] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const context = await browser.newContext({ ignoreHTTPSErrors: true });
// The provider's pages would load a typeface from elsewhere.
await context.route(/googleapis/, (route) => route.abort());
const page = await context.newPage();
page.setDefaultTimeout(20_000);

// What the browser refuses to do, and what goes wrong on our pages.
const wrong = [];
page.on('pageerror', (error) => wrong.push(`${page.url()}: ${error}`));
page.on('console', (message) => {
  const expected = message.text().includes('status of 401');
  if (message.type() === 'error' && !page.url().startsWith(issuer) && !expected) {
    wrong.push(`${page.url()}: ${message.text()}`);
  }
});

async function session(url) {
  const cookies = await context.cookies(url);
  return cookies.find((cookie) => cookie.name === 'cairn_session');
}

async function sees_the_data() {
  await page.getByRole('link', { name: 'photos/' }).click();
  await page.getByRole('link', { name: 'v1/' }).click();
  await page.getByRole('link', { name: 'deep/' }).click();
  await page.getByRole('link', { name: 'photo.txt' }).click();
  await page.getByText('a picture of words').waitFor();
}

await page.goto(`${node}/fs/`);
assert.equal(new URL(page.url()).pathname, '/auth/login');
await page.getByRole('link', { name: 'Log in with corp' }).click();
await page.waitForURL(`${issuer}/**`);
await page.locator('[name=login]').fill('alice');
await page.locator('[name=password]').fill('any');
await page.getByRole('button', { name: 'Sign-in' }).click();
await page.getByRole('button', { name: 'Continue' }).click();
await page.waitForURL(`${node}/fs/`);
let cookie = await session(node);
assert.deepEqual(
  [cookie.httpOnly, cookie.sameSite, cookie.secure, cookie.path], [true, 'Lax', false, '/'],
);
assert.ok(cookie.expires > Date.now() / 1000 + 3600);
assert.equal((await context.cookies(`${node}/auth/`)).length, 1, 'the login under way is forgotten');
await sees_the_data();
console.log('by a provider');

await page.goto(`${node}/fs/`);
await page.getByRole('link', { name: 'Log in or out' }).click();
await page.getByText('You are logged in as corp/alice@example.org').waitFor();
assert.equal(await page.evaluate('document.cookie'), '', 'no script reads the session');
await page.getByRole('button', { name: 'Log out' }).click();
await page.waitForURL(`${node}/auth/login`);
assert.equal(await session(node), undefined);
await page.goto(`${node}/fs/photos/v1/`);
assert.equal(new URL(page.url()).pathname, '/auth/login');
const kept = { ...cookie };
await context.addCookies([kept]);
await page.goto(`${node}/fs/`);
assert.equal(new URL(page.url()).pathname, '/auth/login', 'the session itself has ended');
await context.clearCookies();
console.log('logout');

async function by_password(base, password) {
  await page.getByLabel('User').fill('bob');
  await page.getByLabel('Password, or a token').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}
await page.goto(`${node}/fs/photos/v1/deep/`);
await by_password(node, 'wrong');
const alert = page.getByRole('alert');
await alert.waitFor();
assert.match(await alert.textContent(), /password/);
assert.equal(await session(node), undefined);
await by_password(node, 'battery staple');
await page.waitForURL(`${node}/fs/photos/v1/deep/`);
await page.getByRole('link', { name: 'photo.txt' }).waitFor();
console.log('by a password');

await page.goto(`${secure}/fs/`);
await context.clearCookies();
await page.goto(`${secure}/fs/`);
await by_password(secure, 'battery staple');
await page.waitForURL(`${secure}/fs/`);
cookie = await session(secure);
assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.secure], [true, 'Lax', true]);
await sees_the_data();
console.log('over TLS');

assert.deepEqual(wrong, []);
console.log('nothing was refused');
await browser.close();
