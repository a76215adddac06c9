// Something that is done: whether it is under way, and why it did not work.
import { asFailure, type Failure } from '../api/client'
import { toast } from './toasts.svelte'

export interface Act {
  readonly busy: boolean
  readonly failure: Failure | undefined
  /** Does it, one at a time. Whether it worked; then `said` is told. */
  run(work: () => Promise<unknown>, said?: string): Promise<boolean>
  clear(): void
}

export function act(): Act {
  let busy = $state(false)
  let failure = $state.raw<Failure>()
  return {
    get busy() {
      return busy
    },
    get failure() {
      return failure
    },
    async run(work, said) {
      if (busy) return false
      busy = true
      failure = undefined
      try {
        await work()
        if (said) toast(said)
        return true
      } catch (thrown) {
        failure = asFailure(thrown)
        return false
      } finally {
        busy = false
      }
    },
    clear() {
      failure = undefined
    },
  }
}
