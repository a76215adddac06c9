// Short notes that something was done.
const SHOWN_MS = 5000
const TOASTS_MAX = 4

export interface Toast {
  id: number
  text: string
}

let shown = $state<Toast[]>([])
let count = 0

export const toasts = {
  get all() {
    return shown
  },
}

export function toast(text: string) {
  const id = (count += 1)
  shown = [...shown.slice(1 - TOASTS_MAX), { id, text }]
  setTimeout(() => (shown = shown.filter((toast) => toast.id !== id)), SHOWN_MS)
}
