// What the pages of a function ask a node for.
import { api, got, type Schemas } from '../../api/client'
import type { FunctionNames } from './names'

export const FUNCTION = '/api/v1/functions/{project}/{name}'

export interface Known {
  info: Schemas['Function']
  /** Those that are kept, the newest first. */
  releases: Schemas['Release'][]
  /** The one that answers. */
  live: Schemas['Release'] | undefined
}

export async function known({ project, name }: FunctionNames, signal: AbortSignal): Promise<Known> {
  const asked = { params: { path: { project, name } }, signal }
  const [info, { releases }] = await Promise.all([got(api.GET(FUNCTION, asked)), got(api.GET(`${FUNCTION}/releases`, asked))])
  return { info, releases, live: releases.find((release) => release.number === info.current) }
}

export async function routesOf({ project, name }: FunctionNames, signal: AbortSignal): Promise<Schemas['FunctionRoute'][]> {
  const { routes } = await got(api.GET('/api/v1/routes/{project}', { params: { path: { project } }, signal }))
  return routes.filter((route) => route.function === name && !route.files)
}

export async function filtersOf({ project, name }: FunctionNames, signal: AbortSignal): Promise<Schemas['Filter'][]> {
  const { filters } = await got(api.GET('/api/v1/filters/{project}', { params: { path: { project } }, signal }))
  return filters.filter((filter) => filter.function === name)
}

export async function triggersOf({ project, name }: FunctionNames, signal: AbortSignal): Promise<Schemas['Trigger'][]> {
  const { triggers } = await got(api.GET('/api/v1/triggers/{project}', { params: { path: { project } }, signal }))
  return triggers.filter((trigger) => trigger.function === name)
}

export async function schedulesOf({ project, name }: FunctionNames, signal: AbortSignal): Promise<Schemas['Schedule'][]> {
  const { schedules } = await got(api.GET('/api/v1/schedules/{project}', { params: { path: { project } }, signal }))
  return schedules.filter((schedule) => schedule.function === name)
}
