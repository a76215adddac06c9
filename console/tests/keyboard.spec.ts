// The main path without a mouse.
import { at, expect, test } from './browser'
import { PASSWORD } from './node'

test('the main path, by keyboard alone', async ({ page }) => {
  const press = (keys: string) => page.keyboard.press(keys)
  /** Goes on by Tab until what has this name has the focus. */
  async function tabTo(name: RegExp) {
    for (let steps = 0; steps < 80; steps += 1) {
      const focused = await page.evaluate(() => {
        const element = document.activeElement as HTMLElement | null
        const label = element?.id ? document.querySelector(`label[for="${element.id}"]`)?.textContent : ''
        return element?.getAttribute('aria-label') ?? (label || element?.innerText || '')
      })
      if (name.test(focused.trim())) return
      await press('Tab')
    }
    throw new Error(`Tab does not lead to ${name}`)
  }

  await page.goto(at('/'))
  await expect(page.getByLabel('User')).toBeVisible()
  await tabTo(/^User/)
  await page.keyboard.type('ada')
  await press('Tab')
  await page.keyboard.type(PASSWORD)
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'Home' })).toBeVisible()

  await press('Tab')
  await tabTo(/^Skip to content/)
  await press('Enter')
  await expect(page.locator('main')).toBeFocused()

  await press('Control+k')
  await page.keyboard.type('survey')
  await expect(page.getByRole('option', { name: /^survey/ })).toHaveAttribute('aria-selected', 'true')
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'survey', exact: true })).toBeFocused()

  await tabTo(/^latest$/)
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'latest' })).toBeFocused()
  await tabTo(/^Entries/)
  await press('ArrowDown')
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'README.md' })).toBeFocused()

  await page.goto(at('/datasets/main/survey'))
  await expect(page.getByRole('link', { name: 'v1' })).toBeVisible()
  await tabTo(/^Compare$/)
  await press('Enter')
  await tabTo(/^From$/)
  await press('Tab')
  await press('Tab')
  await press('Enter')
  await expect(page.getByRole('heading', { name: /^From .* to / })).toBeVisible()

  await page.goto(at('/access/grants'))
  await expect(page.getByRole('table')).toBeVisible()
  await tabTo(/^Grant a role$/)
  await press('Enter')
  await tabTo(/^Who$/)
  await page.keyboard.type('rita')
  await press('Tab')
  await press('Tab')
  await page.keyboard.type('@main/by-keyboard')
  await press('Enter')
  await expect(page.getByRole('cell', { name: '@main/by-keyboard' })).toBeVisible()

  await press('Control+k')
  await page.keyboard.type('greet')
  await expect(page.getByRole('option', { name: /^greet/ })).toHaveAttribute('aria-selected', 'true')
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'greet', exact: true })).toBeFocused()
  await tabTo(/^Try$/)
  await press('Enter')
  await expect(page.getByLabel('Arguments')).toBeVisible()
  await tabTo(/^Call$/)
  await press('Enter')
  await expect(page.getByText('exit code 0')).toBeVisible()

  await press('Control+k')
  await page.keyboard.type('audit')
  await press('Enter')
  await expect(page.getByRole('heading', { name: 'Audit' })).toBeVisible()
  await press('?')
  await expect(page.getByRole('dialog')).toContainText('cairn audit')
  await press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
})
