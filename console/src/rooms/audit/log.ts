// Pages of the audit log, the newest first.
import type { Schemas } from '../../api/client'
import { lines } from '../../api/lines'

export type Filters = Partial<Record<'caller' | 'action' | 'resource' | 'door' | 'outcome', string>>

export async function log(
  filters: Filters,
  before: string | null,
  limit: number,
  signal: AbortSignal,
): Promise<{ entries: Schemas['AuditEntry'][]; next: string | null }> {
  const query = new URLSearchParams({ order: 'newest', limit: String(limit) })
  for (const [key, value] of Object.entries(filters)) if (value) query.set(key, value)
  if (before) query.set('before', before)
  const entries: Schemas['AuditEntry'][] = []
  let last = ''
  for await (const line of lines<Schemas['AuditLine']>(`/api/v1/audit?${query}`, { signal })) {
    if (!('caller' in line)) continue
    entries.push(line)
    last = `${line.seq}.${line.index}`
  }
  return { entries, next: entries.length >= limit ? last : null }
}
