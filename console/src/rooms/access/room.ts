import { session } from '../../lib/session.svelte'
import type { Room } from '../room'

export const access: Room = {
  title: 'Access',
  to: '/access/grants',
  icon: 'M10 3a3.2 3.2 0 1 1 0 6.4A3.2 3.2 0 0 1 10 3zM4 17c0-3.3 2.7-5.5 6-5.5s6 2.2 6 5.5',
  visible: () => session.adminOfSomething,
  pages: [
    { pattern: '/access/users', load: () => import('./Users.svelte') },
    { pattern: '/access/tokens', load: () => import('./Tokens.svelte') },
    { pattern: '/access/grants', load: () => import('./Grants.svelte') },
    { pattern: '/access/providers', load: () => import('./Providers.svelte') },
    { pattern: '/access/explain', load: () => import('./Explain.svelte') },
  ],
  commands: [
    { title: 'Users', note: 'access', to: '/access/users' },
    { title: 'Tokens', note: 'access', to: '/access/tokens' },
    { title: 'Grants', note: 'access', to: '/access/grants' },
    { title: 'Identity providers', note: 'access', to: '/access/providers' },
    { title: 'Why may X do Y?', note: 'access', to: '/access/explain' },
  ],
}
