import { session } from '../../lib/session.svelte'
import type { Room } from '../room'

export const audit: Room = {
  title: 'Audit',
  to: '/audit',
  icon: 'M5 3h10v14H5zM7.5 7h5M7.5 10h5M7.5 13h3',
  visible: () => session.may('admin'),
  pages: [{ pattern: '/audit', load: () => import('./Audit.svelte') }],
  commands: [{ title: 'Audit log', to: '/audit' }],
}
