// Functions by a part of their name.
import { api, failure, got, type Schemas } from '../../api/client'
import type { Command } from '../room'
import { DEFAULT_PROJECT, functionPath, reference } from './names'

const FOUND_MAX = 12
/** How many projects are looked through, and how many functions of each. */
const PROJECTS_MAX = 100
const FUNCTIONS_MAX = 10_000
/** How long names are remembered: as long as somebody types. */
const KEPT_MS = 15_000

let kept: { until: number; list: Promise<Schemas['Function'][]> } | undefined

async function all(): Promise<Schemas['Function'][]> {
  const { projects } = await got(api.GET('/api/v1/projects', { params: { query: { limit: PROJECTS_MAX } } }))
  const names = new Set([DEFAULT_PROJECT, ...projects.map((project) => project.name)])
  const lists = [...names].map(async (project) => {
    const params = { path: { project }, query: { limit: FUNCTIONS_MAX } }
    const { data, response } = await api.GET('/api/v1/functions/{project}', { params })
    // The usual project is asked for also by who may read nothing there.
    if (response.status === 403) return []
    if (!data) throw failure(response, undefined)
    return data.functions
  })
  return (await Promise.all(lists)).flat()
}

export async function search(words: string): Promise<Command[]> {
  if (!kept || kept.until < Date.now()) {
    const list = all()
    kept = { until: Date.now() + KEPT_MS, list }
    // What failed is asked again.
    list.catch(() => (kept = undefined))
  }
  const wanted = words.toLowerCase()
  const found = (await kept.list).filter((known) => reference(known).toLowerCase().includes(wanted))
  return found.slice(0, FOUND_MAX).map((known) => ({ title: reference(known), note: 'function', to: functionPath(known) }))
}
