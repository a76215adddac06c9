// Beginnings of files.
import { failure, unreachable } from '../../../api/client'

export interface Beginning {
  text: string
  /** Whether there is more than was read. */
  cut: boolean
}

/** At most the first `max` bytes of a file, and how long it is. */
export async function readBytes(url: string, max: number, signal: AbortSignal): Promise<{ bytes: Uint8Array; size: number }> {
  const headers = { range: `bytes=0-${max - 1}` }
  const response = await fetch(url, { headers, signal, credentials: 'same-origin' }).catch(unreachable)
  // An empty file has no first byte.
  if (response.status === 416) return { bytes: new Uint8Array(), size: 0 }
  if (!response.ok) throw failure(response, await response.json().catch(() => undefined))
  const bytes = new Uint8Array(await response.arrayBuffer())
  const total = Number(response.headers.get('content-range')?.split('/')[1] ?? bytes.length)
  return { bytes, size: total }
}

export async function readText(url: string, max: number, signal: AbortSignal): Promise<Beginning> {
  const { bytes, size } = await readBytes(url, max, signal)
  return { text: new TextDecoder().decode(bytes), cut: size > bytes.length }
}
