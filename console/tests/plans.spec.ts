// What people do with plans: run one, watch it, see what a step wrote and made, stop it.
import { readFileSync } from 'node:fs'

import type { Page } from '@playwright/test'

import { layout, NODE_HEIGHT, NODE_WIDTH } from '../src/rooms/functions/plans/layout'
import { at, expect, signIn, test } from './browser'
import { SURVEY } from './plans'

const node = (page: Page, name: string) => page.getByRole('list', { name: 'Steps' }).getByRole('link', { name: new RegExp(`^${name}:`) })
async function ask(page: Page, name: string, text: string) {
  await page.getByRole('button', { name: 'Run a plan' }).click()
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByLabel('Plan', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Run', exact: true }).click()
}

test('a plan is run and watched, and what its steps wrote and made is there', async ({ page }) => {
  await signIn(page, 'ada', '/functions')
  await page.getByRole('link', { name: 'Plans' }).click()
  await page.getByRole('button', { name: 'Run a plan' }).click()
  await page.getByLabel('Or a file').setInputFiles({ name: 'depths.toml', mimeType: 'application/toml', buffer: Buffer.from(SURVEY) })
  await expect(page.getByLabel('Name', { exact: true })).toHaveValue('depths')
  await page.getByLabel('Do all of it').check()
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await expect(page.getByRole('heading', { name: 'depths', exact: true })).toBeFocused()
  // It comes to its end without anybody asking again.
  await expect(node(page, 'report')).toHaveAccessibleName('report: done, 1 of 1 run, after total, check, read')
  await expect(node(page, 'read')).toHaveAccessibleName('read: done, 5 of 5 runs')

  // By keyboard: from column to column, and up and down in one.
  await node(page, 'read').focus()
  await page.keyboard.press('ArrowRight')
  const focused = page.locator('[data-step]:focus')
  await page.keyboard.press('ArrowDown')
  const lower = await focused.getAttribute('data-step')
  await page.keyboard.press('ArrowUp')
  const upper = await focused.getAttribute('data-step')
  expect([lower, upper].toSorted()).toEqual(['check', 'count'])
  await node(page, 'check').focus()
  await page.keyboard.press('Enter')
  await expect(page).toHaveURL(/\?step=check$/)
  const step = page.getByRole('region', { name: 'Step check' })
  await expect(step).toContainText('5 of 5 runs')
  await expect(step.getByRole('log')).toContainText('told of a step')

  await step.getByLabel('Run', { exact: true }).fill('3')
  await step.getByRole('button', { name: 'Show output' }).click()
  await expect(step.getByRole('region', { name: 'Output', exact: true })).toHaveText('noted')
  await step.getByLabel('Run', { exact: true }).fill('')
  await step.getByRole('button', { name: 'Show output' }).click()
  await expect(step.getByRole('alert')).toContainText('step check has 5 runs: name one')

  await page.reload()
  await expect(page.getByRole('region', { name: 'Step check' })).toBeVisible()
  await node(page, 'report').click()
  const report = page.getByRole('region', { name: 'Step report' })
  await report.getByRole('button', { name: 'Show output' }).click()
  const [download] = await Promise.all([page.waitForEvent('download'), report.getByRole('link', { name: 'Download' }).click()])
  expect(download.suggestedFilename()).toBe('depths-report')
  const kept = readFileSync(await download.path())
  const whole = await page.request.get(`${process.env.CONSOLE_URL}/api/v1/plans/main/depths/${page.url().split('/').at(-1)?.split('?')[0]}/output`)
  expect(kept.equals(await whole.body())).toBe(true)
  expect(kept.length).toBeGreaterThan(0)

  // The same again is done already, which is told in words.
  await page.goto(at('/functions/plans'))
  await ask(page, 'depths', SURVEY)
  await expect(node(page, 'report')).toHaveAccessibleName(/^report: done before, 1 of 1 run/)
  await expect(node(page, 'report')).toContainText('done before')
})

test('what is wrong with a plan is said where it was written', async ({ page }) => {
  await signIn(page, 'ada', '/functions/plans')
  const wrong = page.getByRole('dialog').getByRole('alert')
  await ask(page, 'wrong', '[steps.a]\nfiles = 7')
  await expect(wrong).toContainText('line 2, column 9')
  for (const [text, why] of [
    ['{ "steps": { "a": { "function": "copy" }', 'line 1'],
    ['{ "steps": { "a": { "function": "copy", "inputs": ["b"] }, "b": { "function": "copy", "inputs": ["a"] } } }', 'steps wait for each other'],
    ['[steps.a]\nfunction = "nothing"', 'nothing'],
    ['[steps.a]\nfunction = "absent"', 'is no program'],
    ['[steps.a]\nfunction = "copy"\nfiles = "survey:v9"', 'v9'],
  ] as const) {
    await page.getByLabel('Plan', { exact: true }).fill(text)
    await page.getByRole('button', { name: 'Run', exact: true }).click()
    await expect(wrong).toContainText(why)
  }
  await page.getByLabel('Plan', { exact: true }).fill('{ "steps": { "a": { "function": "copy" } } }')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await expect(node(page, 'a')).toHaveAccessibleName(/^a: done/)
})

test('a plan that runs is stopped, and says how far it came', async ({ page }) => {
  await signIn(page, 'ada', '/functions/plans')
  await ask(page, 'endless', '[steps.begin]\nfunction = "endless"\n\n[steps.end]\nfunction = "copy"\ninputs = ["begin"]\n')
  await expect(node(page, 'begin')).toHaveAccessibleName('begin: running, 0 of 1 run')
  await expect(node(page, 'end')).toHaveAccessibleName('end: waiting, after begin')
  await page.goto(at('/functions/plans?state=running'))
  await page.getByRole('row', { name: /^endless/ }).getByRole('link').click()
  await page.getByRole('button', { name: 'Cancel', exact: true }).click()
  await page.getByRole('button', { name: 'Cancel plan' }).click()
  await expect(node(page, 'begin')).toHaveAccessibleName(/^begin: cancelled/)
  await expect(node(page, 'end')).toHaveAccessibleName('end: not begun, after begin')
  await expect(page.getByRole('button', { name: 'Cancel', exact: true })).toHaveCount(0)
  await expect(page.getByText('it was cancelled')).toBeVisible()
})

test('a plan that failed says why, and plans are found by their state', async ({ page }) => {
  await signIn(page, 'ada', '/functions/plans')
  const row = page.getByRole('row', { name: /^broken-report/ })
  await expect(row).toContainText('failed')
  await page.getByRole('group', { name: 'State' }).getByRole('button', { name: /^done/ }).click()
  await expect(row).toHaveCount(0)
  await expect(page.getByRole('row', { name: /^survey-report/ })).toContainText('5 of 5')
  await page.getByRole('group', { name: 'State' }).getByRole('button', { name: /^failed/ }).click()
  await page.reload()
  await expect(row).toContainText('1 of 3')
  await row.getByRole('link').click()
  await expect(node(page, 'check')).toHaveAccessibleName(/^check: failed, 0 of 1 run/)
  const step = page.getByRole('region', { name: 'Step check' })
  await expect(step.getByRole('alert')).toContainText('run 0 of step check: @main/failing ended with exit code 1')
  await expect(step.getByRole('log')).toContainText('no depth in it')
  // What another's plan made is not shown to everybody.
  await node(page, 'read').click()
  await expect(page.getByText('What its 5 runs made is for root, who asked for the plan.')).toBeVisible()
})

test('a reader sees plans and what they did, and cannot cancel them', async ({ page }) => {
  await signIn(page, 'nora', '/functions/plans')
  await expect(page.getByRole('row', { name: /^survey-report/ })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Run a plan' })).toHaveCount(0)
  await page.goto(at(`/functions/plans/main/survey-report/${process.env.CONSOLE_PLAN}?step=total`))
  await expect(page.getByRole('region', { name: 'Step total' })).toContainText('Program')
  await expect(page.getByRole('button', { name: 'Cancel' })).toHaveCount(0)
})

test('no step is drawn over another, and each is to the right of those it waits for', () => {
  let state = 7
  const random = (below: number) => (state = (state * 48_271) % 0x7fffffff) % below
  for (let round = 0; round < 100; round += 1) {
    const steps = Array.from({ length: 1 + random(100) }, (_, at) => {
      const inputs = new Set(Array.from({ length: at ? random(4) : 0 }, () => `s${random(at)}`))
      return { name: `s${at}`, inputs: [...inputs] }
    })
    const { nodes, ways, width, height } = layout(steps)
    const named = new Map(nodes.map((node) => [node.name, node]))
    expect(nodes.map((node) => node.name)).toEqual(steps.map((step) => step.name))
    expect(ways.length).toBe(steps.reduce((sum, step) => sum + step.inputs.length, 0))
    for (const step of steps) for (const input of step.inputs) expect(named.get(input)?.column).toBeLessThan(named.get(step.name)?.column ?? -1)
    for (const [at, one] of nodes.entries()) {
      expect(Math.min(one.x, one.y)).toBeGreaterThanOrEqual(0)
      expect(one.x + NODE_WIDTH).toBeLessThanOrEqual(width)
      expect(one.y + NODE_HEIGHT).toBeLessThanOrEqual(height)
      for (const other of nodes.slice(at + 1)) if (other.column === one.column) expect(Math.abs(other.y - one.y)).toBeGreaterThan(NODE_HEIGHT)
    }
  }
})
