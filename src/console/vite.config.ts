/**
 * Builds the console into `dist/console`, from where the HTTP server serves it:
 *
 *     vite build --config src/console/vite.config.ts
 *
 * While working on the console, `RINGFENCE_URL=http://127.0.0.1:8080 vite --config src/console/vite.config.ts` serves
 * it with reloading and sends API calls and the WebSocket to a running Ringfence.
 */
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  // Addresses in the built page are relative, so that a reverse proxy may put the console under any path.
  base: './',
  // Said here and not by NODE_ENV: what is built must not depend on who builds it.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  build: {
    outDir: '../../dist/console',
    emptyOutDir: true,
    // light-dark() is written natively: below these versions the CSS tool would rewrite it into something that the
    // theme toggle cannot steer.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // The policy allows images of our own origin only, so nothing may become a data: address.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/v1': { target: process.env['RINGFENCE_URL'] ?? 'http://127.0.0.1:8080', ws: true } },
  },
});
