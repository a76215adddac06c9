// Addresses: every state that one may want to come back to is in the address.
const BASE = '/console'

export interface Place {
  /** Without `/console`, beginning with `/`. */
  path: string
  query: URLSearchParams
}

function read(): Place {
  const path = location.pathname.slice(BASE.length) || '/'
  return { path, query: new URLSearchParams(location.search) }
}

let here = $state.raw(read())
/** Whether one has come to another page that has not taken the focus yet. */
let arriving = false

export const router = {
  get place() {
    return here
  },
  /** Goes to a path of the console. */
  go(path: string, { replace = false } = {}) {
    const url = BASE + path
    if (replace) history.replaceState(null, '', url)
    else history.pushState(null, '', url)
    moved(!replace)
  },
  /** Whether one has just come here: true once. */
  arrive(): boolean {
    const now = arriving
    arriving = false
    return now
  },
  /** Changes the query alone; empty values leave it. */
  ask(changes: Record<string, string | null>, { replace = true } = {}) {
    const query = new URLSearchParams(here.query)
    for (const [key, value] of Object.entries(changes)) {
      if (value) query.set(key, value)
      else query.delete(key)
    }
    const text = query.toString()
    this.go(here.path + (text && `?${text}`), { replace })
  },
}

/** The address of a path of the console, for links. */
export const href = (path: string) => BASE + path

/** A path of the console out of names, each encoded. */
export function to(...names: string[]): string {
  return `/${names.flatMap((name) => name.split('/')).filter(Boolean).map(encodeURIComponent).join('/')}`
}

function moved(toTop: boolean) {
  const before = here.path
  here = read()
  arriving = before !== here.path
  if (toTop && arriving) scrollTo(0, 0)
}

/** Follows links within the console without loading it again. */
export function listen() {
  addEventListener('popstate', () => moved(false))
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = (event.target as Element | null)?.closest?.('a')
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
    if (!link.pathname.startsWith(`${BASE}/`)) return
    event.preventDefault()
    router.go(link.pathname.slice(BASE.length) + link.search)
  })
}

/** The names that a pattern such as `/datasets/:project/*path` finds in a path. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split('/').filter(Boolean)
  const parts = path.split('/').filter(Boolean)
  const found: Record<string, string> = {}
  for (const [index, want] of wanted.entries()) {
    if (want.startsWith('*')) {
      found[want.slice(1)] = parts.slice(index).map(decode).join('/')
      return found
    }
    const part = parts[index]
    if (part === undefined) return null
    if (want.startsWith(':')) found[want.slice(1)] = decode(part)
    else if (want !== part) return null
  }
  return parts.length === wanted.length ? found : null
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
