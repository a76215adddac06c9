// Calls of a function without a route.
import { failure, unreachable } from '../../api/client'
import { apiPath, type FunctionNames } from './names'

/** What is asked of a function. */
export interface Asked {
  /** Of one that answers requests. */
  method: string
  path: string
  /** Name and value. */
  headers: [string, string][]
  /** Of a program. */
  arguments: string[]
  input: Blob
}

export interface Answered {
  status: number
  mediaType: string
  /** What was answered beside that, as far as the node told it. */
  headers: [string, string][]
  leftOut: number
  /** Of a program. */
  exit: number | null
  bytes: Uint8Array
  /** From the request to the last byte, as it was measured here. */
  ms: number
}

const EXIT = 'cairn-exit-code'
const ANSWER = 'cairn-answer'
const SET = 'cairn-set-'

/** Headers as they are written, one a line. */
export function headersOf(text: string): [string, string][] {
  return text.split('\n').filter((line) => line.trim()).map((line) => {
    const [, name = '', value = ''] = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*:\s*(.*?)\s*$/.exec(line) ?? []
    if (!name) throw new Error(`“${line}” is no header: write NAME: VALUE`)
    return [name, value]
  })
}

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
  if (asked.method && how === 'invoke') query.set('method', asked.method)
  for (const argument of asked.arguments) query.append('arg', argument)
  const headers = new Headers()
  // A call that is kept has a type and no other headers.
  for (const [name, value] of asked.headers) {
    if (how === 'invoke') headers.append(SET + name, value)
    else if (name.toLowerCase() === 'content-type') headers.set(name, value)
  }
  const init: RequestInit = { method: 'POST', credentials: 'same-origin', headers, ...(asked.input.size ? { body: asked.input } : {}) }
  return fetch(`${apiPath(names)}/${how}?${query}`, init).catch(unreachable)
}

async function read(response: Response, began: number): Promise<Answered> {
  if (!answered(response)) throw await refused(response)
  const bytes = new Uint8Array(await response.arrayBuffer().catch(unreachable))
  const exit = response.headers.get(EXIT)
  const told = JSON.parse(response.headers.get(ANSWER) ?? '{}') as { headers?: [string, string][]; left_out?: number }
  return {
    status: response.status,
    headers: told.headers ?? [],
    leftOut: told.left_out ?? 0,
    mediaType: response.headers.get('content-type') ?? '',
    exit: exit === null ? null : Number(exit),
    bytes,
    ms: performance.now() - began,
  }
}

/** Whether a function says this, with whatever status, and not the node: what functions say is in a sandbox. */
const answered = (response: Response) => response.ok || response.headers.get('content-security-policy')?.includes('sandbox') === true

const refused = async (response: Response) => failure(response, await response.json().catch(() => undefined))
