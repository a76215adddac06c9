// Plans, and how far their steps are.
import type { Schemas } from '../../../api/client'
import { to } from '../../../lib/router.svelte'
import { reference } from '../names'

export type Plan = Schemas['Plan']
export type Step = Schemas['PlanStep']

export const PLAN = '/api/v1/plans/{project}/{name}/{id}'
/** What every page of a plan is handed. */
export interface PlanNames {
  project: string
  name: string
  id: string
}

export const planPath = ({ project, name, id }: PlanNames) => to('functions', 'plans', project, name, id)
export const apiPath = ({ project, name, id }: PlanNames) => `/api/v1/plans/${project}/${name}/${id}`
/** A command about a plan. */
export const ofPlan = (command: string, names: PlanNames) => `plan ${command} ${reference(names)} ${names.id}`

export const STATES = ['waiting', 'running', 'done', 'failed', 'cancelled']
export const isOpen = (plan: Plan) => plan.state === 'waiting' || plan.state === 'running'

/** How a step is drawn. */
export type Mark = 'waiting' | 'running' | 'done' | 'reused' | 'failed' | 'cancelled' | 'left'
export const WORDS: Record<Mark, string> = {
  waiting: 'waiting',
  running: 'running',
  done: 'done',
  reused: 'done before',
  failed: 'failed',
  cancelled: 'cancelled',
  left: 'not begun',
}

/** How a plan stands, as its steps are marked. */
export const planMark = (plan: Plan) => (plan.state in WORDS ? (plan.state as Mark) : 'waiting')

export function mark(plan: Plan, step: Step): Mark {
  if (step.state === 'done') return step.done > 0 && step.reused === step.done ? 'reused' : 'done'
  if (step.state === 'waiting') return isOpen(plan) ? 'waiting' : 'left'
  return step.state in WORDS ? (step.state as Mark) : 'waiting'
}

/** `12 of 64 runs`, once it is known how many there are. */
export const runs = (step: Step) => (step.runs == null ? '' : `${step.done} of ${step.runs} ${step.runs === 1 ? 'run' : 'runs'}`)

/** From when it was asked for to its end, or until now. */
export const tookMs = (plan: Plan) => Math.max(0, (plan.ended_ms ?? Date.now()) - plan.made_ms)

/** The step that one wants to know of first: what failed, else what is done now, else the last one. */
export const first = (plan: Plan) =>
  plan.steps.find((step) => step.state === 'failed' || step.state === 'cancelled') ?? plan.steps.find((step) => step.state === 'running') ?? plan.steps.at(-1)
