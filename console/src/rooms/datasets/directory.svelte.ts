// The entries of a directory, page by page as one comes to them.
import { api, asFailure, got, type Failure, type Schemas } from '../../api/client'
import type { TagNames } from './names'

/** Entries of a page. */
const PAGE = 2000
/** How many entries before the end of what is there the next page is asked for. */
const AHEAD = 500

export class Directory {
  entries = $state.raw<Schemas['Node'][]>([])
  failure = $state.raw<Failure>()
  #next = $state.raw<string | null | undefined>(undefined)
  #asking = false

  constructor(
    private readonly names: TagNames,
    private readonly path: string,
    first: Schemas['Listing'],
  ) {
    this.entries = first.children ?? []
    this.#next = first.next ?? null
  }

  /** Whether all entries are there. */
  get whole(): boolean {
    return !this.#next
  }

  /** Sees to it that entries up to the one numbered `end` and a few more come. */
  async need(end: number) {
    if (this.#asking || this.whole || end + AHEAD < this.entries.length) return
    this.#asking = true
    try {
      const more = await list(this.names, this.path, this.#next ?? null)
      this.entries = [...this.entries, ...(more.children ?? [])]
      this.#next = more.next ?? null
      this.failure = undefined
    } catch (thrown) {
      this.failure = asFailure(thrown)
    } finally {
      this.#asking = false
    }
  }
}

/** A page of a directory, or another entry alone; `from` is where the page begins, encoded. */
export async function list(
  { project, name, tag }: TagNames,
  path: string,
  from: string | null,
  signal?: AbortSignal,
): Promise<Schemas['Listing']> {
  const query = { limit: PAGE, ...(from ? { after: from } : {}) }
  const init = signal ? { signal } : {}
  if (!path) {
    const params = { path: { project, name, tag }, query }
    const asked = api.GET('/api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree', { params, ...init })
    return (await got(asked)) as Schemas['Listing']
  }
  const params = { path: { project, name, tag, path }, query }
  // A path's slashes stay what they are.
  const pathSerializer = (pattern: string) =>
    pattern.replace(/\{(\w+)\}/g, (_, key: keyof typeof params.path) =>
      params.path[key].split('/').map(encodeURIComponent).join('/'),
    )
  const asked = api.GET('/api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree/{path}', {
    params,
    pathSerializer,
    ...init,
  })
  return (await got(asked)) as Schemas['Listing']
}
