// Light, dark, or as the machine says. Kept in this browser.
export type Theme = 'auto' | 'light' | 'dark'
export const THEMES: Theme[] = ['auto', 'light', 'dark']
const KEY = 'cairn.theme'

const kept = localStorage.getItem(KEY) as Theme | null
let theme = $state<Theme>(kept && THEMES.includes(kept) ? kept : 'auto')
apply()

function apply() {
  if (theme === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}

export const themes = {
  get now() {
    return theme
  },
  set(next: Theme) {
    theme = next
    localStorage.setItem(KEY, next)
    apply()
  },
}
