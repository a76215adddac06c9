// What tests share: signing in, and a page that tells what went wrong in it.
import { expect, test as base, type Page } from '@playwright/test'

import { PASSWORD } from './node'

export { expect }

export const at = (path: string) => `${process.env.CONSOLE_URL}/console${path}`

/** A page in which no script may fail and nothing may be refused by the policy. */
export const test = base.extend<{ page: Page; refusals: boolean }>({
  /** Whether the policy may refuse something: what hostile content tries. */
  refusals: [false, { option: true }],
  page: async ({ page, refusals }, use) => {
    const wrong: string[] = []
    page.on('pageerror', (error) => wrong.push(String(error)))
    page.on('console', (message) => {
      if (!refusals && /Content Security Policy|Refused to/.test(message.text())) wrong.push(message.text())
    })
    page.on('request', (request) => {
      if (/^https?:/.test(request.url()) && !request.url().startsWith(process.env.CONSOLE_URL ?? '')) wrong.push(`asked elsewhere: ${request.url()}`)
    })
    await use(page)
    expect(wrong).toEqual([])
  },
})

/** Signs in by the page that people use. */
export async function signIn(page: Page, user = 'ada', path = '/') {
  await page.goto(at(path))
  await page.getByLabel('User').fill(user)
  await page.getByLabel('Password, or a token').fill(PASSWORD)
  await page.getByRole('button', { name: 'Log in' }).click()
  await expect(page.getByRole('heading', { level: 1 }).first()).toBeVisible()
}
