// Every page: nothing that axe finds, nothing wider than the screen, and pictures for who wants to look.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import type { AxeResults } from 'axe-core'

import { at, expect, signIn, test } from './browser'
import { PAGES } from './pages'
import { Sheets } from './sheets'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const WIDTHS = [360, 820, 1280]
const THEMES = ['light', 'dark'] as const

test('every page is accessible and fits, at three widths and in both themes', async ({ page }) => {
  test.setTimeout(600_000)
  const sheets = new Sheets(process.env.CONSOLE_PICTURES)
  await signIn(page)
  for (const [name, path] of Object.entries(PAGES)) {
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 800 })
        if (theme === 'light' && width === WIDTHS[0]) await page.goto(at(path))
        await expect(page.getByRole('heading', { level: 1 }).first()).toBeVisible()
        // The design system shows what waiting looks like, for ever.
        if (name !== 'design') await expect(page.locator('main [aria-busy="true"]')).toHaveCount(0)
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        expect(over, `${name} at ${width} px is wider than the screen`).toBeLessThanOrEqual(0)
        await sheets.take(page, name, theme, width)
        expect(await violations(page), `${name}, ${theme}, ${width} px`).toEqual([])
      }
    }
    await sheets.put(page, name)
  }
})

async function violations(page: import('@playwright/test').Page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE)
  const { violations, passes } = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (where: object) => Promise<AxeResults> } }
    // What a browser's own viewer draws in a frame is not ours.
    return axe.run({ exclude: ['iframe'] })
  })
  // It did look.
  expect(passes.length).toBeGreaterThan(10)
  return violations.flatMap((found) => found.nodes.map((node) => `${found.id}: ${node.html.slice(0, 160)}`))
}
