// Answers that are lines of JSON (NDJSON), taken one by one as they come.
import { failure, unreachable } from './client'

/** The longest line that is taken, in characters. */
const LINE_MAX = 1 << 22

/** The lines of an answer, each parsed; empty ones are signs of life and left out. */
export async function* lines<T>(url: string, init: RequestInit = {}): AsyncGenerator<T> {
  const headers = { accept: 'application/x-ndjson', ...init.headers }
  const response = await fetch(url, { ...init, headers, credentials: 'same-origin' }).catch(unreachable)
  if (!response.ok) throw failure(response, await response.json().catch(() => undefined))
  if (!response.body) return
  let held = ''
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    held += piece
    const ends = held.split('\n')
    held = ends.pop() ?? ''
    if (held.length > LINE_MAX) throw new Error('the node sent a line that is too long')
    for (const line of ends) if (line) yield JSON.parse(line) as T
  }
  if (held) yield JSON.parse(held) as T
}
