// Datasets by a part of their name.
import type { Schemas } from '../../api/client'
import type { Command } from '../room'
import { all } from './all'
import { datasetPath, reference } from './names'

const FOUND_MAX = 12
/** How long names are remembered: as long as somebody types. */
const KEPT_MS = 15_000

let kept: { until: number; list: Promise<Schemas['Summary'][]> } | undefined

export async function search(words: string): Promise<Command[]> {
  if (!kept || kept.until < Date.now()) {
    const list = all()
    kept = { until: Date.now() + KEPT_MS, list }
    // What failed is asked again.
    list.catch(() => (kept = undefined))
  }
  const wanted = words.toLowerCase()
  const found = (await kept.list).filter((dataset) => reference(dataset).toLowerCase().includes(wanted))
  return found.slice(0, FOUND_MAX).map((dataset) => ({ title: reference(dataset), note: 'dataset', to: datasetPath(dataset) }))
}
