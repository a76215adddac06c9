// What people do with functions: look, try, roll back, lead requests to them, let them be called at times.
import type { Page } from '@playwright/test'

import { at, expect, signIn, test } from './browser'
import { program } from './functions'

/** Deploys a release as a compiler's user would, and waits until it can be run. */
async function deploy(page: Page, name: string, wat: string) {
  const headers = { authorization: `Bearer ${process.env.CONSOLE_TOKEN}`, 'content-type': 'application/octet-stream' }
  const url = `${process.env.CONSOLE_URL}/api/v1/functions/main/${name}/releases?wait=60`
  const answer = await page.request.post(url, { headers, data: Buffer.from(wat) })
  expect((await answer.json()).state).toBe('ready')
}
const tab = (page: Page, name: string) => page.getByRole('navigation', { name: 'Function', exact: true }).getByRole('link', { name, exact: true }).click()
const output = (page: Page) => page.getByRole('region', { name: 'Output' })

test('a function is seen, tried and rolled back, and its log is followed', async ({ page }) => {
  await signIn(page)
  await deploy(page, 'path', program('the first\n', 'told of the first\n'))
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Functions' }).click()
  const row = page.getByRole('row', { name: /^path/ })
  await expect(row).toContainText('ready')
  await row.getByRole('link', { name: 'path' }).click()
  await expect(page.getByRole('region', { name: 'Release 1' })).toContainText('a program')

  await tab(page, 'Try')
  await page.getByLabel('Arguments').fill('one\ntwo words')
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(page.getByText('exit code 0')).toBeVisible()
  await expect(output(page)).toHaveText('the first')
  await page.getByRole('button', { name: 'Hex' }).click()
  await expect(output(page)).toContainText('74 68 65 20 66 69 72 73 74 0a')
  await page.getByRole('button', { name: 'CLI and API' }).click()
  await expect(page.getByRole('dialog')).toContainText("cairn fn invoke path -- one 'two words'")
  await page.keyboard.press('Escape')

  await deploy(page, 'path', program('the second\n', 'told of the second\n'))
  await page.reload()
  await expect(page.getByLabel('Arguments')).toHaveValue('one\ntwo words')
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(output(page)).toHaveText('the second')

  await tab(page, 'Releases')
  await page.getByRole('row', { name: /^1 / }).getByRole('button', { name: 'Answer with this one' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click()
  await expect(page.getByRole('row', { name: /^1 / })).toContainText('answers')
  await tab(page, 'Try')
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(output(page)).toHaveText('the first')

  await tab(page, 'Logs')
  const log = page.getByRole('log')
  await expect(log).toContainText('told of the second')
  const called = async () => expect((await page.request.post(`${process.env.CONSOLE_URL}/api/v1/functions/main/path/invoke`, { headers: { authorization: `Bearer ${process.env.CONSOLE_TOKEN}` } })).ok()).toBe(true)
  const lines = log.getByText('told of the first')
  await expect(lines).toHaveCount(2)
  await called()
  await expect(lines).toHaveCount(3)
  await page.getByRole('button', { name: 'Pause' }).click()
  await called()
  await page.getByLabel('Filter lines').fill('SECOND')
  await expect(log.locator('p')).toHaveCount(1)
  await page.getByLabel('Filter lines').fill('')
  await expect(lines).toHaveCount(3)
  await page.getByRole('button', { name: 'Go on' }).click()
  await expect(lines).toHaveCount(4)
})

test('one that answers requests is asked for a path, and says its status', async ({ page }) => {
  await signIn(page, 'ada', '/functions/main/absent/try')
  await page.getByLabel('Path').fill('/some/where?x=1')
  await page.getByLabel('Method').fill('PUT')
  await page.getByLabel('Headers').fill('x-one: a b\nContent-Type: application/json\n')
  await page.getByLabel('Body').fill('{}')
  const sent = page.waitForRequest((request) => request.method() === 'POST' && request.url().includes('/invoke?'))
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  expect(new URL((await sent).url()).searchParams.get('method')).toBe('PUT')
  expect((await sent).headers()).toMatchObject({ 'cairn-set-x-one': 'a b', 'cairn-set-content-type': 'application/json' })
  await expect(page.getByText('status 404')).toBeVisible()
  await expect(page.getByText('It wrote nothing.')).toBeVisible()
  await page.getByText('1 header', { exact: true }).click()
  await expect(page.getByText('by the function')).toBeVisible()
  await expect(page.getByRole('alert')).toHaveCount(0)
  await page.getByLabel('Headers').fill('nothing')
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(page.getByRole('alert')).toContainText('“nothing” is no header')
  await page.getByLabel('Headers').fill('host: example.org')
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(page.getByRole('alert')).toContainText('a function is not asked with the header "host"')
  // What is asked is in the address, what is sent is not.
  await page.reload()
  await expect(page.getByLabel('Method')).toHaveValue('PUT')
  await expect(page.getByLabel('Headers')).toHaveValue('')
})

test('a call that is done later says what came of it, also to who comes back', async ({ page }) => {
  await signIn(page, 'ada', '/functions/main/greet/try')
  await page.getByRole('button', { name: 'Call later' }).click()
  const call = page.getByRole('region', { name: /^Call / })
  await expect(call).toContainText('exit code 0')
  await expect(output(page)).toHaveText('second')
  await page.reload()
  await expect(output(page)).toHaveText('second')
  const row = page.getByRole('region', { name: 'Your later calls' }).getByRole('row', { name: / ok / })
  await expect(row).toHaveCount(1)
  await page.goto(at('/functions/main/greet/try'))
  await row.getByRole('link').click()
  await expect(output(page)).toHaveText('second')
  // They are one's own.
  await page.goto(at('/functions/main/hostile/try'))
  await expect(page.getByRole('button', { name: 'Call later' })).toBeVisible()
  await expect(page.getByRole('region', { name: 'Your later calls' })).toHaveCount(0)
})

test('what functions did on the node is told, and where they are reached', async ({ page }) => {
  await signIn(page, 'ada')
  await deploy(page, 'busy', program('busy\n', ''))
  const called = (path: string) => page.request.post(`${process.env.CONSOLE_URL}/api/v1/functions/main/busy/invoke${path}`, { headers: { authorization: `Bearer ${process.env.CONSOLE_TOKEN}` } })
  for (let calls = 0; calls < 3; calls += 1) expect((await called('')).ok()).toBe(true)
  await page.goto(at('/functions?q=busy'))
  await expect(page.getByRole('row', { name: /^busy ready 1 3 0 [\d.]+ ms [\d.]+ ms/ })).toBeVisible()
  await expect(page.locator('datalist option[value="alone"]')).toHaveCount(1)
  await page.getByRole('link', { name: 'busy' }).click()
  const here = page.getByRole('region', { name: 'Calls on this node' })
  await expect(here).toContainText('Calls3')
  await expect(here).toContainText(/99 of a hundred[\d.]+ ms/)

  await page.goto(at('/functions/main/greet'))
  const link = page.getByRole('link', { name: 'GET /greet', exact: true })
  const answered = await page.request.get((await link.getAttribute('href')) ?? '')
  expect(await answered.text()).toBe('second\n')
  // What is not one address is no link.
  await expect(page.getByRole('link', { name: 'GET /greet/{who}' })).toHaveCount(0)

  await page.goto(at('/functions/schedules'))
  await expect(page.getByRole('row', { name: /greet, default/ })).toContainText('ok')
})

test('what cannot be run says why', async ({ page }) => {
  await signIn(page, 'ada', '/functions')
  await page.getByRole('row', { name: /^broken/ }).getByRole('link').click()
  await expect(page.getByRole('region', { name: 'Release 1' })).toContainText('it exports nothing')
  await tab(page, 'Releases')
  await expect(page.getByRole('row', { name: /failed/ })).toContainText('it exports nothing')
  await tab(page, 'Try')
  await expect(page.getByText('No release answers yet')).toBeVisible()
})

test('routes, filters and schedules come and go', async ({ page }) => {
  await signIn(page)
  await deploy(page, 'wired', program('wired\n', ''))
  await page.goto(at('/functions/main/wired/routes'))
  await page.getByRole('button', { name: 'Add route' }).click()
  await page.getByLabel('Requests').fill('wired')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(page.getByRole('dialog').getByRole('alert')).toBeVisible()
  await page.getByLabel('Requests').fill('GET /wired/{who}')
  await page.getByLabel('Open to everybody').check()
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  const route = page.getByRole('row', { name: /GET \/wired\/\{who\}/ })
  await expect(route).toContainText('everybody')
  // Everybody is an invoker of it then.
  await page.goto(at('/access/grants'))
  await expect(page.getByRole('row', { name: /anonymous invoker @main\/wired/ })).toBeVisible()

  await page.goto(at('/functions/routes?q=wired'))
  await expect(page.getByRole('row')).toHaveCount(2)
  await route.getByRole('link', { name: 'wired' }).click()
  await expect(page.getByText('GET /wired/{who}')).toBeVisible()

  await tab(page, 'Filters')
  await page.getByRole('button', { name: 'Add filter' }).click()
  await page.getByLabel('Filter', { exact: true }).fill('guard')
  await page.getByLabel('Priority').fill('7')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  const filter = page.getByRole('row', { name: /^7 guard/ })
  await filter.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('button', { name: 'Remove filter' }).click()
  await expect(page.getByText('Its requests pass no filter')).toBeVisible()

  await tab(page, 'Schedules')
  await page.getByRole('button', { name: 'Add schedule' }).click()
  await page.getByLabel('Times', { exact: true }).fill('every day')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await expect(page.getByRole('dialog').getByRole('alert')).toBeVisible()
  await page.getByLabel('Times', { exact: true }).fill('* * * * * *')
  await page.getByLabel('Zone').fill('Europe/Berlin')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  const schedule = page.getByRole('region', { name: 'Schedules' }).getByRole('row', { name: /^default/ })
  await expect(schedule).toContainText('Europe/Berlin')
  await expect(page.getByRole('region', { name: 'Runs', exact: true }).getByRole('row', { name: /ok.*exit code 0/ }).first()).toBeVisible()
  await expect(schedule).toContainText('ok')
  await schedule.getByRole('button', { name: 'Remove' }).click()
  await page.getByRole('button', { name: 'Remove schedule' }).click()
  await expect(page.getByText('Nothing calls it by itself')).toBeVisible()

  await tab(page, 'Overview')
  await page.getByRole('button', { name: 'Remove wired' }).click()
  await page.getByLabel('Type wired to go on').fill('wired')
  await page.getByRole('button', { name: 'Remove function' }).click()
  await expect(page.getByRole('heading', { name: 'Functions' })).toBeVisible()
  await page.goto(at('/functions/routes?q=wired'))
  await expect(page.getByText('No route has “wired” in it')).toBeVisible()
})

test('values of the environment are not shown, their names are', async ({ page }) => {
  await signIn(page, 'ada', '/functions/main/greet')
  const release = page.getByRole('region', { name: 'Release 2' })
  await expect(release).toContainText('SECRET')
  await expect(release).not.toContainText('hidden')
  await expect(release).toContainText('https://api.example.org')
})

test('a reader is offered nothing to change and nothing to call', async ({ page }) => {
  await signIn(page, 'rita', '/functions/main/greet')
  await expect(page.getByRole('region', { name: 'Release 2' })).toBeVisible()
  await expect(page.getByRole('button', { name: /^Remove/ })).toHaveCount(0)
  for (const [part, button] of [['releases', 'Answer with this one'], ['routes', 'Add route'], ['filters', 'Add filter'], ['schedules', 'Add schedule']]) {
    await page.goto(at(`/functions/main/greet/${part}`))
    await expect(page.getByRole('table').first()).toBeVisible()
    await expect(page.getByRole('button', { name: button ?? '' })).toHaveCount(0)
  }
  await page.goto(at('/functions/main/absent/try'))
  await expect(page.getByText('You are no invoker of this function')).toBeVisible()
  // One that is open to everybody may be called by a reader too, but not past its filters.
  await page.goto(at('/functions/main/greet/try'))
  await expect(page.getByText('Its requests pass filters first')).toBeVisible()
})

// CONSOLE-2
test('what a function writes is text, whatever it is', async ({ page }) => {
  await signIn(page, 'ada', '/functions/main/hostile/try')
  const asked: string[] = []
  page.on('request', (sent) => asked.push(new URL(sent.url()).pathname))
  await page.getByRole('button', { name: 'Call', exact: true }).click()
  await expect(output(page)).toContainText('<script>')
  await tab(page, 'Logs')
  const log = page.getByRole('log')
  await expect(log).toContainText('<img src=x onerror=')
  await expect(log.locator('img, script')).toHaveCount(0)
  // Letters are not turned around unseen.
  await expect(log).toContainText('⟨U+202E⟩end')
  expect(await page.title()).toMatch(/· Cairn$/)
  expect(asked).not.toContain('/api/v1/access/grants')
})

test('a project without functions says how one comes to be', async ({ page }) => {
  await signIn(page, 'ada', '/functions')
  await page.getByLabel('Project', { exact: true }).fill('elsewhere')
  await page.getByLabel('Project', { exact: true }).press('Enter')
  await expect(page.getByText('No function here yet')).toBeVisible()
  await expect(page.getByText('cairn fn new hello --template rust')).toBeVisible()
  await expect(page.getByText('cairn fn deploy hello.wasm --name @elsewhere/hello')).toBeVisible()
  await page.getByRole('link', { name: 'Schedules' }).click()
  await expect(page.getByText("cairn cron add '*/5 * * * *' @elsewhere/hello")).toBeVisible()
})
