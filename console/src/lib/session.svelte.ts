// Who looks at the console, and what they may do. What is not offered here the node refuses too.
import { api, asFailure, got, type Failure, type Schemas } from '../api/client'

type Role = 'invoker' | 'reader' | 'writer' | 'admin'
const ROLES: Role[] = ['invoker', 'reader', 'writer', 'admin']
const WRITER = ROLES.indexOf('writer')

let me = $state.raw<Schemas['WhoAmIBody'] | null>(null)
let failed = $state.raw<Failure | null>(null)

export const session = {
  get me() {
    return me
  },
  get failed() {
    return failed
  },
  get name(): string {
    return me?.principal ?? ''
  },
  /** Asks the node who we are. Who is nobody is sent to log in. */
  async begin() {
    try {
      me = await got(api.GET('/api/v1/access/whoami'))
      failed = null
    } catch (thrown) {
      const failure = asFailure(thrown)
      if (failure.status === 401) signIn()
      else failed = failure
    }
  },
  /** Whether there is anything of which we may give roles to others. */
  get adminOfSomething(): boolean {
    return (me?.grants ?? []).some((grant) => grant.role === 'admin')
  },
  /** Whether there is anything that we may call, and not just everybody. */
  get mayInvokeSomething(): boolean {
    return (me?.grants ?? []).some((grant) => grant.subject !== 'anonymous' && atLeast(grant.role, 'invoker'))
  },
  /** Whether there is anything that we may change. */
  get writerOfSomething(): boolean {
    return (me?.grants ?? []).some((grant) => atLeast(grant.role, 'writer'))
  },
  /** Whether a role on a dataset is granted, or on everything when none is named. */
  may(role: Role, project?: string, name?: string): boolean {
    return (me?.grants ?? []).some(
      (grant) => atLeast(grant.role, role) && covers(grant.pattern, project, name) && scoped(role, project, name),
    )
  },
}

export function signIn() {
  const next = location.pathname + location.search
  location.assign(`/auth/login?next=${encodeURIComponent(next)}`)
}

/** Ends this browser's session. */
export async function signOut() {
  await fetch('/auth/logout', { method: 'POST', credentials: 'same-origin', redirect: 'manual' })
  location.assign('/auth/login?next=/console/')
}

/** Whether a role allows what another does: a reader is no invoker, whoever is more is both. */
function atLeast(has: string, needs: Role): boolean {
  const place = ROLES.indexOf(has as Role)
  return has === needs || (place >= WRITER && place >= ROLES.indexOf(needs))
}

/** Whether what is named is wholly within a pattern `@project/name`. */
function covers(pattern: string, project = '*', name = '*'): boolean {
  const [wantProject = '', wantName = ''] = pattern.replace(/^@/, '').split('/')
  return glob(wantProject, project) && glob(wantName, name)
}

function scoped(role: Role, project?: string, name?: string): boolean {
  const scopes = me?.token?.scopes
  if (!scopes || scopes === 'all') return true
  return scopes.only.some((scope) => atLeast(scope.role, role) && covers(scope.pattern, project, name))
}

/** `*` stands for any characters; the literals between are looked for from left to right. */
function glob(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return pattern === text
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false
  let from = first.length
  for (const literal of rest) {
    const at = text.indexOf(literal, from)
    if (at < 0) return false
    from = at + literal.length
  }
  return from <= text.length - last.length
}
