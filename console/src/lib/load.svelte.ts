// Something that is asked for: what came of it, or why nothing did.
import { asFailure, type Failure } from '../api/client'
import { signIn } from './session.svelte'

export interface Loaded<T> {
  readonly data: T | undefined
  readonly failure: Failure | undefined
  readonly loading: boolean
  /** Asks again; what is there stays until the answer comes. */
  reload(): Promise<void>
}

/**
 * Asks when the component begins, and whenever what `ask` reads changes. To be called while a
 * component is set up.
 */
export function load<T>(ask: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  let data = $state.raw<T>()
  let failure = $state.raw<Failure>()
  let loading = $state(true)
  let running: AbortController | undefined

  async function run() {
    running?.abort()
    const mine = new AbortController()
    running = mine
    const asked = ask(mine.signal)
    loading = true
    try {
      const answer = await asked
      if (running !== mine) return
      data = answer
      failure = undefined
    } catch (thrown) {
      if (running !== mine) return
      failure = asFailure(thrown)
      data = undefined
      if (failure.status === 401) signIn()
    }
    loading = false
  }

  $effect(() => {
    void run()
    return () => running?.abort()
  })

  return {
    get data() {
      return data
    },
    get failure() {
      return failure
    },
    get loading() {
      return loading
    },
    reload: run,
  }
}
