// Pictures of a page at all widths and in both themes, on one sheet.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import type { Page } from '@playwright/test'

const SHEET = { width: 1500, height: 1000 }

export class Sheets {
  private taken: { label: string; data: string }[] = []

  /** Puts sheets into `folder`; takes no pictures without one. */
  constructor(private readonly folder: string | undefined) {
    if (folder) mkdirSync(folder, { recursive: true })
  }

  async take(page: Page, name: string, theme: string, width: number) {
    if (!this.folder) return
    const picture = await page.screenshot({ type: 'jpeg', quality: 85 })
    this.taken.push({ label: `${name}, ${theme}, ${width} px`, data: picture.toString('base64') })
  }

  /** Writes the sheet of what was taken. */
  async put(page: Page, name: string) {
    if (!this.folder) return
    const sheet = await page.context().newPage()
    await sheet.setViewportSize(SHEET)
    const figures = this.taken.map(({ label, data }) => `<figure><img src="data:image/jpeg;base64,${data}"><figcaption>${label}</figcaption></figure>`)
    await sheet.setContent(
      `<style>body{margin:8px;background:#888;display:grid;grid-template-columns:1fr 2.1fr 3.3fr;gap:8px;align-items:start;font:12px sans-serif;color:#fff}figure{margin:0}img{width:100%;display:block}</style>${figures.join('')}`,
    )
    await sheet.screenshot({ path: join(this.folder, `${name}.jpg`), type: 'jpeg', quality: 70, fullPage: true })
    await sheet.close()
    this.taken = []
  }
}
