// The datasets of all projects that one may read.
import { api, got, type Schemas } from '../../api/client'

/** How many projects are looked through, and how many datasets of each. */
const PROJECTS_MAX = 100
const DATASETS_MAX = 10_000

export async function all(signal?: AbortSignal): Promise<Schemas['Summary'][]> {
  const init = signal ? { signal } : {}
  const { projects } = await got(api.GET('/api/v1/projects', { params: { query: { limit: PROJECTS_MAX } }, ...init }))
  const lists = projects.map(async ({ name: project }) => {
    const params = { path: { project }, query: { limit: DATASETS_MAX } }
    return (await got(api.GET('/api/v1/projects/{project}/datasets', { params, ...init }))).datasets
  })
  return (await Promise.all(lists)).flat()
}
