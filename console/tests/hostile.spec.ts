// Content of a stranger that would like to act, and a reader who would like to write (CONSOLE-2).
import type { Page } from '@playwright/test'

import { at, expect, signIn, test } from './browser'

// A parser that does not run script tells the policy of each that it meets.
test.use({ refusals: true })

const FILES = ['README.md', 'page.html', 'image.svg', 'rows.csv', 'tree.json', 'paper.pdf']

test('content full of script changes nothing', async ({ page }) => {
  await signIn(page)
  const asked = watch(page)
  await page.goto(at('/datasets/main/evil?tag=v1'))
  await expect(page.getByRole('heading', { name: 'Hostile' })).toBeVisible()
  await untouched(page)
  // What could act is gone, what shows is there.
  const readme = page.getByRole('region', { name: 'README.md' })
  await expect(readme.locator('script, iframe, form, style, svg, [onerror], [onload]')).toHaveCount(0)
  for (const link of await readme.locator('a').all()) expect((await link.getAttribute('href')) ?? '').not.toMatch(/^(javascript|data):/i)
  await expect(readme).toContainText('[out]')

  for (const file of FILES) {
    await page.goto(at(`/datasets/main/evil/tags/v1/files/${file}`))
    await expect(page.getByRole('heading', { name: file })).toBeVisible()
    await expect(page.locator('main [aria-busy="true"]')).toHaveCount(0)
    await untouched(page)
  }
  await page.goto(at('/datasets/main/evil/tags/v1/files'))
  await expect(page.getByRole('link', { name: 'page.html' })).toBeVisible()
  await untouched(page)
  expect(asked()).toEqual([])
})

test('a PDF is shown when it is asked for, and what is in it stays there', async ({ page }) => {
  await signIn(page)
  const asked: string[] = []
  page.on('request', (sent) => asked.push(new URL(sent.url()).pathname))
  page.on('dialog', (dialog) => void dialog.dismiss())
  for (const path of ['survey/tags/v1/files/media/paper.pdf', 'evil/tags/v1/files/paper.pdf']) {
    await page.goto(at(`/datasets/main/${path}`))
    await page.getByRole('button', { name: 'Show in the browser’s viewer' }).click()
    // What the browser refuses to show is a page of errors.
    await expect.poll(() => page.frames().map((frame) => frame.url()).join(' ')).toContain('paper.pdf')
    expect(page.frames().some((frame) => frame.url().startsWith('chrome-error:'))).toBe(false)
    await untouched(page)
  }
  expect(asked).not.toContain('/api/v1/access/grants')
})

test('a page of a dataset that is opened by itself has no way to the API', async ({ page, context }) => {
  await signIn(page)
  const asked = watch(page)
  for (const file of ['page.html', 'image.svg']) {
    const answer = await page.goto(`${process.env.CONSOLE_URL}/fs/evil/v1/${file}`)
    expect(answer?.status()).toBe(200)
    expect(await page.title()).not.toBe('taken')
  }
  expect(asked()).toEqual([])
  expect((await context.cookies()).every((cookie) => cookie.httpOnly && cookie.sameSite !== 'None')).toBe(true)
})

test('a reader is offered nothing to change, and a request made by hand is refused', async ({ page }) => {
  await signIn(page, 'rita', '/datasets/main/survey')
  await expect(page.getByRole('link', { name: 'latest' })).toBeVisible()
  for (const name of ['Upload', 'Tag as…', 'Remove']) await expect(page.getByRole('button', { name })).toHaveCount(0)
  const menu = page.getByRole('navigation', { name: 'Main' })
  await expect(menu.getByRole('link', { name: 'Audit' })).toHaveCount(0)
  await expect(menu.getByRole('link', { name: 'Access' })).toHaveCount(0)

  const statuses = await page.evaluate(async () => {
    const json = { 'content-type': 'application/json' }
    const asked: [string, string, string?][] = [
      ['PUT', '/api/v1/projects/main/datasets/survey/tags/mine', '{"from":{"name":"survey","tag":"v1"}}'],
      ['DELETE', '/api/v1/projects/main/datasets/survey/tags/v1'],
      ['DELETE', '/api/v1/projects/main/datasets/survey'],
      ['POST', '/api/v1/projects/main/datasets/survey/edits', '{"tag":"mine"}'],
      ['PUT', '/api/v1/projects/main/datasets/survey/rules', '{"history_keep":0,"history_seconds":0}'],
      ['POST', '/api/v1/access/grants', '{"subject":"rita","role":"admin","pattern":"@*/*"}'],
      ['POST', '/api/v1/access/tokens', '{"principal":"root","label":"mine"}'],
      ['POST', '/api/v1/maintenance/collect', '{}'],
      ['GET', '/api/v1/audit'],
      ['GET', '/api/v1/access/principals'],
    ]
    return Promise.all(
      asked.map(async ([method, path, body]) => (await fetch(path, { method, headers: json, ...(body ? { body } : {}) })).status),
    )
  })
  expect(statuses).toEqual(statuses.map(() => 403))
})

test('another site cannot act with a session', async ({ page, request }) => {
  await signIn(page)
  const cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ')
  const put = await request.put(`${process.env.CONSOLE_URL}/api/v1/projects/main/datasets/survey/tags/theirs`, {
    headers: { cookie, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    data: { from: { name: 'survey', tag: 'v1' } },
  })
  expect(put.status()).toBe(403)
})

/** What of the API was asked for that only script in hostile content asks for. */
function watch(page: Page) {
  const asked: string[] = []
  page.on('request', (sent) => {
    if (new URL(sent.url()).pathname === '/api/v1/access/grants') asked.push(sent.url())
  })
  page.on('dialog', (dialog) => {
    asked.push(dialog.message())
    void dialog.dismiss()
  })
  return () => asked
}

async function untouched(page: Page) {
  expect(await page.title()).toMatch(/· Cairn$/)
  expect(await page.evaluate(() => 'polluted' in {})).toBe(false)
}
