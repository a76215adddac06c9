// What a page says one can type is what the program takes (CONSOLE-4).
import { execFileSync } from 'node:child_process'

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
    const words = command.split(' ').slice(1)
    // Help of the command that the first words name; of a word that is an argument it knows nothing.
    const verbs = words.filter((word) => /^[a-z]+$/.test(word)).slice(0, 2)
    const known = [verbs, verbs.slice(0, 1)].some((named) => help(named))
    expect(known, command).toBe(true)
  }
})

function help(verbs: string[]): boolean {
  if (verbs.length === 0) return false
  try {
    execFileSync(process.env.CAIRN_BIN ?? 'cairn', [...verbs, '--help'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
