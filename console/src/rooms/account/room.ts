import type { Room } from '../room'

export const account: Room = {
  title: 'Account',
  to: '/account',
  icon: 'M3 5h14v10H3zM5.5 12.5h4M12 8.5h2.5M12 11h2.5M7.5 7.5a1.3 1.3 0 1 1 0 2.6 1.3 1.3 0 0 1 0-2.6z',
  visible: () => true,
  pages: [
    { pattern: '/account', load: () => import('./Account.svelte') },
    { pattern: '/design', load: () => import('../design/Design.svelte') },
  ],
  commands: [
    { title: 'Account', note: 'sessions, password, theme', to: '/account' },
    { title: 'Design system', note: 'components of the console', to: '/design' },
  ],
}
