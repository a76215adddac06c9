// Names of functions as people and programs write them.
import { to } from '../../lib/router.svelte'
import { quoted } from '../../frame/how.svelte'
import { DEFAULT_PROJECT, reference } from '../datasets/names'

/** What every page of a function is handed. */
export interface FunctionNames {
  project: string
  name: string
}

export const functionPath = ({ project, name }: FunctionNames, ...more: string[]) => to('functions', project, name, ...more)
export const apiPath = ({ project, name }: FunctionNames) => `/api/v1/functions/${project}/${name}`

/** A command about a project's functions. */
export const ofProject = (command: string, project: string) => command + (project === DEFAULT_PROJECT ? '' : ` --project ${quoted(project)}`)

export { DEFAULT_PROJECT, reference }
