// Where requests for routes are sent, as far as that can be told from where a node listens.
import { api, got } from '../../api/client'

/** The addresses at which the node that is asked answers for functions. */
export async function webUrls(signal: AbortSignal): Promise<string[]> {
  return (await got(api.GET('/api/v1/version', { signal }))).web ?? []
}

const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/
const ANY = /^(0\.0\.0\.0|\[::\])$/

/** The address of what a route leads to, when it is one address that a browser can open from here. */
export function openable(pattern: string, urls: string[], here = location.hostname): string | undefined {
  const [, method = '*', host = '', path = ''] = /^(?:(\S+) )?([^/\s]*)(\/\S*)$/.exec(pattern) ?? []
  if (!path || !['*', 'GET'].includes(method) || /[{}]/.test(path) || host.includes('*')) return undefined
  for (const url of urls) {
    const { protocol, hostname, port } = new URL(url)
    if (LOCAL.test(hostname) && !LOCAL.test(here)) continue
    const at = host || (ANY.test(hostname) ? here : hostname)
    return `${protocol}//${at}${port && `:${port}`}${path}`
  }
  return undefined
}
