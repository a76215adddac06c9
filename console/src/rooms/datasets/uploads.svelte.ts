// Files on their way into a dataset. The node takes them piece by piece, so that a connection that
// breaks costs a piece; who comes back with the same files goes on where they were.
import { Failure, api, asFailure, failure, got, unreachable, type Schemas } from '../../api/client'
import type { DatasetNames } from './names'

/** Bytes of a request. */
const PIECE = 8 * 1024 * 1024
/** Files on their way at a time. */
const AT_ONCE = 4
/** How often a piece is sent again, and how long is waited at first. */
const TRIES_MAX = 6
const PAUSE_MS = 500

export interface Item {
  path: string
  file: File
  sent: number
  state: 'waiting' | 'sending' | 'done' | 'failed'
  failure?: Failure
}

interface Kept {
  edit: string
  address: string
}
const KEPT = 'cairn.upload'

/** An upload into one tag. What it is at is in the browser's memory for this tab. */
export class Upload {
  items = $state<Item[]>([])
  failure = $state.raw<Failure>()
  busy = $state(false)
  #edit: string | null = null
  #stop = new AbortController()

  constructor(
    private readonly names: DatasetNames & { tag: string },
    private readonly into: string,
  ) {}

  get bytes(): number {
    return this.items.reduce((sum, item) => sum + item.file.size, 0)
  }
  get sent(): number {
    return this.items.reduce((sum, item) => sum + item.sent, 0)
  }
  get ready(): boolean {
    return this.items.length > 0 && this.items.every((item) => item.state === 'done')
  }

  /** Adds files and sends them. One at the same path takes the other's place. */
  async add(files: { path: string; file: File }[]) {
    const prefix = this.into && `${this.into}/`
    const added = files.map(({ path, file }) => ({ path: prefix + path, file, sent: 0, state: 'waiting' as const }))
    const paths = new Set(added.map((item) => item.path))
    this.items = [...this.items.filter((item) => !paths.has(item.path)), ...added]
    await this.send()
  }

  /** Sends what is not there yet. */
  async send() {
    if (this.busy) return
    this.busy = true
    this.failure = undefined
    for (const item of this.items) if (item.state === 'failed') item.state = 'waiting'
    try {
      const edit = (this.#edit ??= await this.#begin())
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work(edit)))
    } catch (thrown) {
      this.failure = asFailure(thrown)
    } finally {
      this.busy = false
    }
  }

  /** Makes a version of what was sent. */
  async publish() {
    if (!this.#edit) return
    this.busy = true
    this.failure = undefined
    try {
      await got(api.POST('/api/v1/edits/{edit}/publish', { params: { path: { edit: this.#edit } }, body: {} }))
      sessionStorage.removeItem(KEPT)
      return true
    } catch (thrown) {
      this.failure = asFailure(thrown)
      return false
    } finally {
      this.busy = false
    }
  }

  /** Gives it up. */
  async abandon() {
    this.#stop.abort()
    sessionStorage.removeItem(KEPT)
    if (this.#edit) await fetch(`/api/v1/edits/${this.#edit}`, { method: 'DELETE', credentials: 'same-origin' })
  }

  /** The upload that this tab began for the same tag, if the node still has it, or a new one. */
  async #begin(): Promise<string> {
    const { project, name, tag } = this.names
    const address = [project, name, tag].join('/')
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null') as Kept | null
    if (kept?.address === address && (await this.#resume(kept.edit))) return kept.edit
    const path = { project, name }
    const { id } = await got(api.POST('/api/v1/projects/{project}/datasets/{name}/edits', { params: { path }, body: { tag } }))
    sessionStorage.setItem(KEPT, JSON.stringify({ edit: id, address } satisfies Kept))
    return id
  }

  /** Takes over what the node has of the same files. Whether it knows the upload. */
  async #resume(edit: string): Promise<boolean> {
    try {
      for await (const there of files(edit)) {
        const item = this.items.find((item) => item.path === there.path && item.file.size === there.size)
        if (!item) continue
        item.sent = there.received
        if (there.done) item.state = 'done'
      }
      return true
    } catch (thrown) {
      if (asFailure(thrown).status === 404) return false
      throw thrown
    }
  }

  async #work(edit: string) {
    for (;;) {
      const item = this.items.find((item) => item.state === 'waiting')
      if (!item || this.#stop.signal.aborted) return
      item.state = 'sending'
      try {
        await this.#file(edit, item)
        item.state = 'done'
      } catch (thrown) {
        item.failure = asFailure(thrown)
        item.state = 'failed'
      }
    }
  }

  async #file(edit: string, item: Item) {
    let tries = 0
    for (;;) {
      try {
        const { received, done } = await this.#piece(edit, item)
        item.sent = received
        tries = 0
        if (done) return
      } catch (thrown) {
        const failure = asFailure(thrown)
        const again = failure.status === 0 || failure.status === 429 || failure.status >= 500 || failure.status === 409
        tries += 1
        if (!again || tries >= TRIES_MAX || this.#stop.signal.aborted) throw thrown
        await new Promise((go) => setTimeout(go, PAUSE_MS * 2 ** (tries - 1)))
        item.sent = failure.received ?? (await this.#received(edit, item))
      }
    }
  }

  async #piece(edit: string, item: Item): Promise<{ received: number; done: boolean }> {
    const query = new URLSearchParams({
      offset: String(item.sent),
      size: String(item.file.size),
      mtime: String(Math.floor(item.file.lastModified / 1000)),
    })
    const body = item.file.slice(item.sent, item.sent + PIECE)
    const response = await fetch(`${address(edit, item.path)}?${query}`, {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream' },
      credentials: 'same-origin',
      signal: this.#stop.signal,
    }).catch(unreachable)
    const answer: unknown = await response.json().catch(() => undefined)
    if (!response.ok) throw failure(response, answer)
    return answer as { received: number; done: boolean }
  }

  /** How much of a file the node has; what we know when it does not answer. */
  async #received(edit: string, item: Item): Promise<number> {
    try {
      for await (const there of files(edit)) if (there.path === item.path) return there.received
      return 0
    } catch {
      return item.sent
    }
  }
}

/** What a node has of an edit, by path. */
async function* files(edit: string): AsyncGenerator<Schemas['EditFile']> {
  let after: string | null | undefined
  do {
    const query = after ? { after } : {}
    const page = await got(api.GET('/api/v1/edits/{edit}', { params: { path: { edit }, query } }))
    yield* page.files
    after = page.next
  } while (after)
}

const address = (edit: string, path: string) =>
  `/api/v1/edits/${edit}/files/${path.split('/').map(encodeURIComponent).join('/')}`

/** The files of what was dropped, those in directories with their paths. */
export async function dropped(transfer: DataTransfer): Promise<{ path: string; file: File }[]> {
  // The list is gone after the first wait: what is in it is taken before.
  const items = [...transfer.items].filter((item) => item.kind === 'file')
  const entries = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile())
  const found: { path: string; file: File }[] = []
  for (const entry of entries) {
    if (entry instanceof File) found.push({ path: entry.name, file: entry })
    else if (entry) await walk(entry, '', found)
  }
  return found
}

async function walk(entry: FileSystemEntry, front: string, found: { path: string; file: File }[]) {
  const path = front + entry.name
  if (entry.isFile) {
    const file = await new Promise<File>((take, fail) => (entry as FileSystemFileEntry).file(take, fail))
    found.push({ path, file })
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((take, fail) => reader.readEntries(take, fail))
    if (some.length === 0) return
    for (const child of some) await walk(child, `${path}/`, found)
  }
}

/** The files of an input, those of a directory with their paths. */
export const chosen = (files: FileList) =>
  [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }))
