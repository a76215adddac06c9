import { session } from '../../lib/session.svelte'
import type { Room } from '../room'

export const maintenance: Room = {
  title: 'Maintenance',
  to: '/maintenance',
  icon: 'M12.5 3.2a4 4 0 0 0-4 5.2L3 13.9 6.1 17l5.5-5.5a4 4 0 0 0 5.2-4l-2.4 2.4-2.6-.8-.8-2.6z',
  visible: () => session.may('admin'),
  pages: [{ pattern: '/maintenance', load: () => import('./Maintenance.svelte') }],
  commands: [{ title: 'Maintenance', note: 'collect, verify', to: '/maintenance' }],
}
