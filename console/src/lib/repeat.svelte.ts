// Something that is asked for again and again while it may change by itself.

/** Calls `work` every so often while `wanted`. To be called while a component is set up. */
export function repeat(wanted: () => boolean, work: () => unknown, everyMs: number) {
  const on = $derived(wanted())
  $effect(() => {
    if (!on) return
    const timer = setInterval(() => {
      // Nobody looks at a page in the background.
      if (!document.hidden) work()
    }, everyMs)
    return () => clearInterval(timer)
  })
}
