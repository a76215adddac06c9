// Figures of the console in a browser against a node that runs: `node scripts/measure.js URL USER PASSWORD PATH`,
// where PATH is of a large directory. Prints one line of JSON. What it means is in docs/BENCHMARKS.md.
import { chromium } from '@playwright/test'

const [url, user, password, path] = process.argv.slice(2)
// "Slow 4G" of the browsers' own tools.
const LINE = { offline: false, latency: 150, downloadThroughput: (1.6e6 * 0.9) / 8, uploadThroughput: (750e3 * 0.9) / 8 }

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--enable-precise-memory-info'] })
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
const page = await context.newPage()
await page.goto(`${url}/auth/login?next=/console/`)
await page.getByLabel('User').fill(user)
await page.getByLabel('Password, or a token').fill(password)
await page.getByRole('button', { name: 'Log in' }).click()
await page.getByRole('heading', { name: 'Home' }).waitFor()

const paint = await firstLoad(await context.newPage())
const many = await largeDirectory(await context.newPage())
console.log(JSON.stringify({ ...paint, ...many }))
await browser.close()

/** A first visit: nothing is cached, the line is slow. */
async function firstLoad(page) {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.clearBrowserCache')
  await session.send('Network.emulateNetworkConditions', LINE)
  let bytes = 0
  const assets = new Set()
  session.on('Network.responseReceived', ({ requestId, response }) => {
    if (new URL(response.url).pathname.startsWith('/console')) assets.add(requestId)
  })
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (assets.has(requestId)) bytes += encodedDataLength
  })
  await page.goto(`${url}/console/`)
  await page.getByRole('heading', { name: 'Newest' }).waitFor()
  const first_paint_ms = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime)
  const whole_ms = await page.evaluate(() => performance.now())
  await page.close()
  return { first_load_bytes: bytes, first_paint_ms, whole_ms }
}

/** All entries of a large directory, one screen after the other. */
async function largeDirectory(page) {
  const session = await page.context().newCDPSession(page)
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize } = await session.send('Runtime.getHeapUsage')
    return usedSize
  }
  await page.goto(`${url}/console/datasets`)
  await page.getByRole('heading', { name: 'Datasets' }).waitFor()
  const before = await heap()
  const began = Date.now()
  await page.goto(`${url}/console${path}`)
  await page.getByRole('table').getByRole('link').first().waitFor()
  const directory_ms = Date.now() - began
  const { entries, slowest } = await page.evaluate(async () => {
    const list = document.querySelector('.entries')
    const frame = () => new Promise((go) => requestAnimationFrame(go))
    let slowest = 0
    let still = 0
    for (let last = -1; still < 120; ) {
      list.scrollTop = list.scrollHeight
      const before = performance.now()
      await frame()
      slowest = Math.max(slowest, performance.now() - before)
      still = list.scrollHeight === last ? still + 1 : 0
      last = list.scrollHeight
    }
    return { entries: Math.round(list.scrollHeight / 36) - 1, slowest }
  })
  return { directory_ms, entries, slowest_frame_ms: slowest, heap_before: before, heap_after: await heap() }
}
