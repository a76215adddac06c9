// What people do: sign in, upload, browse, compare, tag, grant, look at the audit.
import { at, expect, signIn, test } from './browser'

const file = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) })

test('the main path, by mouse', async ({ page }) => {
  await signIn(page)

  await page.getByRole('link', { name: 'Datasets' }).click()
  await page.getByRole('button', { name: 'New dataset' }).click()
  await page.getByLabel('Name', { exact: true }).fill('journal')
  await page.getByRole('button', { name: 'Choose files' }).click()
  await upload(page, [file('one.txt', 'first\n'), file('two.txt', 'second\n')])
  await expect(page.getByRole('heading', { name: 'latest' })).toBeVisible()
  await expect(page.getByRole('link', { name: 'one.txt' })).toBeVisible()

  await page.getByRole('link', { name: 'two.txt' }).click()
  await expect(page.getByRole('region', { name: 'Content' })).toContainText('second')

  await page.getByRole('navigation', { name: 'Breadcrumb' }).getByRole('link', { name: 'journal' }).click()
  await page.getByRole('button', { name: 'Tag as…' }).click()
  await page.getByLabel('Tag', { exact: true }).fill('before')
  await page.getByRole('button', { name: 'Set tag' }).click()
  await expect(page.getByRole('link', { name: 'before' })).toBeVisible()

  await page.getByRole('link', { name: 'Upload' }).click()
  await upload(page, [file('two.txt', 'second, and more\n'), file('three.txt', 'third\n')])
  await page.getByRole('navigation', { name: 'Breadcrumb' }).getByRole('link', { name: 'journal' }).click()
  await expect(page.getByText('2 versions kept')).toBeVisible()

  await page.getByRole('button', { name: 'Compare' }).click()
  await page.getByLabel('From', { exact: true }).selectOption('before')
  await page.getByLabel('To', { exact: true }).selectOption('latest')
  await page.getByRole('dialog').getByRole('button', { name: 'Compare' }).click()
  await expect(page.getByText('1 added')).toBeVisible()
  await expect(page.getByText('1 modified')).toBeVisible()

  await page.getByRole('link', { name: 'Access' }).click()
  await page.getByRole('link', { name: 'Grants' }).click()
  await page.getByRole('button', { name: 'Grant a role' }).click()
  await page.getByLabel('Who', { exact: true }).fill('rita')
  await page.getByLabel('Role', { exact: true }).selectOption('writer')
  await page.getByLabel('On', { exact: true }).fill('@main/journal')
  await page.getByRole('button', { name: 'Grant', exact: true }).click()
  await expect(page.getByRole('cell', { name: '@main/journal' })).toBeVisible()

  await page.goto(at('/audit?outcome=changed&caller=ada'))
  await expect(page.getByRole('cell', { name: /rita.*writer|writer.*rita|granted/i }).first()).toBeVisible()
  await page.getByRole('button', { name: 'Check the chain' }).click()
  await expect(page.getByText('unbroken')).toBeVisible()
})

test('a tag that moves elsewhere moves on the page', async ({ page, request }) => {
  await signIn(page, 'ada', '/datasets/main/survey?tag=moving')
  const headers = { authorization: `Bearer ${process.env.CONSOLE_TOKEN}` }
  const put = (from: string) =>
    request.put(`${process.env.CONSOLE_URL}/api/v1/projects/main/datasets/survey/tags/moving`, { headers, data: { from: { name: 'survey', tag: from } } })
  expect((await put('v1')).ok()).toBe(true)
  await page.reload()
  const row = page.getByRole('row', { name: /^moving/ })
  await expect(row).toContainText('10')
  expect((await put('v2')).ok()).toBe(true)
  await expect(row).toContainText('11')
})

test('files are dropped where they are wanted, and go there', async ({ page }) => {
  await signIn(page, 'ada', '/datasets/main/survey/upload?tag=dropped&into=in/here')
  const dropped = await page.evaluateHandle(() => {
    const transfer = new DataTransfer()
    transfer.items.add(new File(['dropped\n'], 'dropped.txt', { type: 'text/plain' }))
    return transfer
  })
  await page.getByRole('group', { name: 'Drop files here' }).dispatchEvent('drop', { dataTransfer: dropped })
  await expect(page.getByRole('cell', { name: 'in/here/dropped.txt' })).toBeVisible()
  await page.getByRole('button', { name: 'Publish 1 file' }).click()
  await page.getByRole('link', { name: 'dropped.txt' }).click()
  await expect(page.getByRole('region', { name: 'Content' })).toContainText('dropped')
})

test('an upload that breaks off goes on where it was', async ({ page }) => {
  await signIn(page, 'ada', '/datasets/main/large/upload')
  const size = 20 * 1024 * 1024
  const large = { name: 'large.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(size, 'x') }
  let pieces = 0
  await page.route('**/api/v1/edits/*/files/**', async (route) => {
    if (route.request().method() !== 'PUT') return route.continue()
    pieces += 1
    // The second piece breaks off on its way, once.
    return pieces === 2 ? route.abort('connectionreset') : route.continue()
  })
  await upload(page, [large])
  expect(pieces).toBe(4)
  await expect(page.getByText('1 file, 20.0 MiB')).toBeVisible()
})

async function upload(page: import('@playwright/test').Page, files: { name: string; mimeType: string; buffer: Buffer }[]) {
  await page.getByLabel('Files', { exact: true }).first().setInputFiles(files)
  const publish = page.getByRole('button', { name: /^Publish/ })
  await expect(publish).toBeEnabled({ timeout: 30_000 })
  await publish.click()
  await expect(page.getByText('has a new version').last()).toBeVisible()
  // The page that leads to what was published is there, and not the one with the files any more.
  await expect(page.getByRole('table', { name: /^Entries/ })).toBeVisible()
}

// CONSOLE-3
test('what was asked for is in the address, and comes back with it', async ({ page }) => {
  await signIn(page, 'ada', '/datasets')
  await page.getByLabel('Filter by name').fill('surv')
  await expect(page.getByRole('link', { name: 'many' })).toHaveCount(0)
  await page.reload()
  await expect(page.getByLabel('Filter by name')).toHaveValue('surv')
  await expect(page.getByRole('link', { name: 'many' })).toHaveCount(0)

  await page.getByRole('link', { name: 'survey' }).click()
  await page.getByRole('row', { name: /^v1/ }).getByRole('button', { name: 'History' }).click()
  await expect(page.getByRole('heading', { name: 'Versions of v1' })).toBeVisible()
  await page.reload()
  await expect(page.getByRole('heading', { name: 'Versions of v1' })).toBeVisible()
  await page.goBack()
  await expect(page.getByLabel('Filter by name')).toHaveValue('surv')

  await page.goto(at('/access/explain?subject=rita&action=write_dataset&resource=@main/survey'))
  await expect(page.getByText('denied')).toBeVisible()
})
