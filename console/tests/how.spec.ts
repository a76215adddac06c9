// What a page says one can type is what the program takes (CONSOLE-4).
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

import { at, expect, signIn, test } from './browser'
import { PAGES } from './pages'

test('every command that is shown is one', async ({ page }) => {
  test.setTimeout(180_000)
  await signIn(page)
  const commands = new Set<string>()
  for (const path of Object.values(PAGES)) {
    await page.goto(at(path))
    await expect(page.getByRole('heading', { level: 1 }).first()).toBeVisible()
    await page.getByRole('button', { name: 'CLI and API' }).click()
    for (const shown of await page.getByRole('dialog').getByRole('region', { name: 'Command' }).allInnerTexts()) commands.add(shown)
  }
  expect(commands.size).toBeGreaterThan(20)
  for (const command of commands) {
    const [verb = '', ...rest] = command.split(' ').slice(1)
    const about = help([verb])
    // Where there are commands below it, the next word is one of them.
    const below = /^Commands:/m.test(about) && rest[0] && !rest[0].startsWith('-') ? help([verb, rest[0]]) : about
    for (const option of rest.filter((word) => word.startsWith('--'))) expect(below, command).toContain(option)
  }
})

/** What the program says of a command; it fails for one that it does not have. */
const help = (verbs: string[]) => execFileSync(process.env.CAIRN_BIN ?? 'cairn', [...verbs, '--help'], { encoding: 'utf8' })

test('every action of the API can be asked about', async ({ page }) => {
  const description = readFileSync(new URL('../openapi.json', import.meta.url), 'utf8')
  const { pattern } = JSON.parse(description).components.schemas.Explain.properties.action
  await signIn(page, 'ada', '/access/explain')
  const offered = await page.getByLabel('May do').getByRole('option').allInnerTexts()
  expect(offered.toSorted()).toEqual(pattern.replace(/^\^\(|\)\$$/g, '').split('|').toSorted())
})
