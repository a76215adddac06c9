// Names of datasets as people and programs write them.
import { to } from '../../lib/router.svelte'

export const DEFAULT_PROJECT = 'main'

/** What every page of a dataset is handed. */
export interface DatasetNames {
  project: string
  name: string
}
export interface TagNames extends DatasetNames {
  tag: string
}

/** `name:tag`, with `@project/` in front unless it is the usual one. */
export function reference({ project, name, tag }: { project: string; name: string; tag?: string }, path = ''): string {
  const front = project === DEFAULT_PROJECT ? '' : `@${project}/`
  return front + name + (tag ? `:${tag}` : '') + (path && `/${path}`)
}

export const datasetPath = ({ project, name }: DatasetNames, ...more: string[]) => to('datasets', project, name, ...more)
export const tagPath = ({ project, name, tag }: TagNames, path = '') => datasetPath({ project, name }, 'tags', tag, 'files', path)

export const apiPath = ({ project, name }: DatasetNames) => `/api/v1/projects/${project}/datasets/${name}`
