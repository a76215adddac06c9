// Names of all datasets that one may read, for who looks for one.
import { api, got } from '../../api/client'
import type { Command } from '../room'
import { datasetPath, reference, type DatasetNames } from './names'

/** How many projects are looked through, and how many datasets of each. */
const PROJECTS_MAX = 100
const DATASETS_MAX = 10_000
const FOUND_MAX = 12
/** How long names are remembered: as long as somebody types. */
const KEPT_MS = 15_000

let kept: { until: number; names: Promise<DatasetNames[]> } | undefined

export async function search(words: string): Promise<Command[]> {
  if (!kept || kept.until < Date.now()) {
    const names = all()
    kept = { until: Date.now() + KEPT_MS, names }
    // What failed is asked again.
    names.catch(() => (kept = undefined))
  }
  const wanted = words.toLowerCase()
  const found = (await kept.names).filter((names) => reference(names).toLowerCase().includes(wanted))
  return found.slice(0, FOUND_MAX).map((names) => ({ title: reference(names), note: 'dataset', to: datasetPath(names) }))
}

async function all(): Promise<DatasetNames[]> {
  const { projects } = await got(api.GET('/api/v1/projects', { params: { query: { limit: PROJECTS_MAX } } }))
  const lists = projects.map(async ({ name: project }) => {
    const params = { path: { project }, query: { limit: DATASETS_MAX } }
    const { datasets } = await got(api.GET('/api/v1/projects/{project}/datasets', { params }))
    return datasets.map(({ name }) => ({ project, name }))
  })
  return (await Promise.all(lists)).flat()
}
