import type { Room } from '../room'

export const home: Room = {
  title: 'Home',
  to: '/',
  icon: 'M3 9.5 10 4l7 5.5V17h-4.5v-4.5h-5V17H3z',
  visible: () => true,
  pages: [{ pattern: '/', load: () => import('./Home.svelte') }],
  commands: [{ title: 'Home', to: '/' }],
}
