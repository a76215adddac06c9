// Calls of a function without a route.
import { failure, unreachable } from '../../api/client'
import { apiPath, type FunctionNames } from './names'

/** What is asked of a function. */
export interface Asked {
  /** Of one that answers requests. */
  path: string
  mediaType: string
  /** Of a program. */
  arguments: string[]
  input: Blob
}

export interface Answered {
  status: number
  mediaType: string
  /** Of a program. */
  exit: number | null
  bytes: Uint8Array
  /** From the request to the last byte, as it was measured here. */
  ms: number
}

const EXIT = 'cairn-exit-code'

export async function invoke(names: FunctionNames, asked: Asked): Promise<Answered> {
  const began = performance.now()
  const response = await send(names, 'invoke', asked)
  return read(response, began)
}

/** Keeps a call; its id. */
export async function invokeLater(names: FunctionNames, asked: Asked): Promise<string> {
  const response = await send(names, 'calls', asked)
  if (!response.ok) throw await refused(response)
  return ((await response.json()) as { id: string }).id
}

/** What a call that is done answered or wrote. */
export async function output(names: FunctionNames, id: string, ms: number, signal: AbortSignal): Promise<Answered> {
  const url = `${apiPath(names)}/calls/${encodeURIComponent(id)}/output`
  const response = await fetch(url, { credentials: 'same-origin', signal }).catch(unreachable)
  return { ...(await read(response, 0)), ms }
}

function send(names: FunctionNames, how: 'invoke' | 'calls', asked: Asked): Promise<Response> {
  const query = new URLSearchParams()
  if (asked.path) query.set('path', asked.path)
  for (const argument of asked.arguments) query.append('arg', argument)
  const headers: HeadersInit = asked.mediaType ? { 'content-type': asked.mediaType } : {}
  const init: RequestInit = { method: 'POST', credentials: 'same-origin', headers, ...(asked.input.size ? { body: asked.input } : {}) }
  return fetch(`${apiPath(names)}/${how}?${query}`, init).catch(unreachable)
}

async function read(response: Response, began: number): Promise<Answered> {
  if (!answered(response)) throw await refused(response)
  const bytes = new Uint8Array(await response.arrayBuffer().catch(unreachable))
  const exit = response.headers.get(EXIT)
  return {
    status: response.status,
    mediaType: response.headers.get('content-type') ?? '',
    exit: exit === null ? null : Number(exit),
    bytes,
    ms: performance.now() - began,
  }
}

/** Whether a function says this, with whatever status, and not the node: what functions say is in a sandbox. */
const answered = (response: Response) => response.ok || response.headers.get('content-security-policy')?.includes('sandbox') === true

const refused = async (response: Response) => failure(response, await response.json().catch(() => undefined))
