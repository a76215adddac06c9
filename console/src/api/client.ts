// The one way to a node. Its types come from the node's own description of its API.
import createClient from 'openapi-fetch'

import type { components, paths } from './schema'

export type Schemas = components['schemas']

/** What a node said when it refused, or why it could not be asked. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly request: string,
    /** Of a file that does not go on where we thought: how much of it the node has. */
    readonly received?: number,
  ) {
    super(message)
  }

  /** What one can do about it. */
  get nextStep(): string {
    if (this.status === 0) return 'See whether the node runs and this machine reaches it, then try again.'
    if (this.status === 401) return 'Sign in again.'
    if (this.status === 403) return 'Ask an administrator for a grant; "Why may X do Y?" under Access shows what is missing.'
    if (this.status === 404) return 'It may have been moved or removed. Go back to the list.'
    if (this.status === 409) return 'Somebody else changed it. Load the page again and look at what is there now.'
    if (this.status === 429 || this.status === 503) return 'The node is busy. Wait a moment and try again.'
    if (this.status >= 500) return 'The node’s log has more under this request id; "cairn doctor" checks the node.'
    return 'Change what was asked for and try again.'
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' })

/** The answer's content, or a {@link Failure} thrown. */
export async function got<T>(
  asked: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<NonNullable<T>> {
  const { data, error, response } = await asked.catch(unreachable)
  if (!response.ok) throw failure(response, error)
  return data as NonNullable<T>
}

export function failure(response: Response, body: unknown): Failure {
  const detail = (body as Schemas['ErrorBody'] | undefined)?.error
  const request = detail?.request_id ?? response.headers.get('x-request-id') ?? ''
  const message = detail?.message ?? `the node answered ${response.status} ${response.statusText}`
  return new Failure(response.status, detail?.kind ?? 'internal', message, request, detail?.received ?? undefined)
}

export function unreachable(cause: unknown): never {
  if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
  throw new Failure(0, 'unreachable', 'the node does not answer', '')
}

/** Whatever was thrown, as a {@link Failure}. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new Failure(-1, 'console', message, '')
}

/** Where a node serves the bytes of a path of a version. */
export function fsUrl(project: string, name: string, tag: string, path: string): string {
  const parts = [`@${project}`, name, tag, ...path.split('/').filter(Boolean)]
  return `/fs/${parts.map(encodeURIComponent).join('/')}`
}
