import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// `npm run dev` serves the console here and leaves everything else to a node.
const NODE = process.env.CAIRN_URL ?? 'http://127.0.0.1:7400'

export default defineConfig({
  base: '/console/',
  plugins: [svelte()],
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: 'licenses.txt' },
  },
  server: {
    proxy: Object.fromEntries(['/api', '/auth', '/fs'].map((path) => [path, NODE])),
  },
})
