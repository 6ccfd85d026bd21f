/** The built console as files; where it has not been built, a page says how. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

const NO_CONSOLE_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Ringfence</title></head>
<body>
<h1>Ringfence is running. The console has not been built.</h1>
<p>Run <code>npm run setup</code> in the checkout, then start Ringfence again.</p>
<p>The API is described in <a href="openapi.json">openapi.json</a> and <a href="asyncapi.json">asyncapi.json</a>.</p>
</body>
</html>
`;

export async function addConsoleFiles(app: FastifyInstance, consoleDir: string): Promise<void> {
  if (!existsSync(join(consoleDir, 'index.html'))) {
    app.get('/', { config: { harmless: true } }, async (_request, reply) =>
      reply.type('text/html; charset=utf-8').send(NO_CONSOLE_PAGE),
    );
    return;
  }
  await app.register((files, _options, done) => {
    files.addHook('onRoute', (route) => {
      route.config = { ...route.config, harmless: true };
    });
    files.register(fastifyStatic, {
      root: consoleDir,
      wildcard: false,
      cacheControl: false,
      setHeaders: (reply, path) => {
        // Built files carry a hash of their content in their name; the page that names them is asked for each time.
        const hashed = /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/.test(basename(path));
        reply.header('Cache-Control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    });
    done();
  });
}
