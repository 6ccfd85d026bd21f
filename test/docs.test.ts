import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generatedDocuments } from '../src/cli/docs.ts';
import { projectFolder } from '../src/config.ts';

describe('generated references', async () => {
  const documents = await generatedDocuments();
  it.each(Object.keys(documents))('%s is what `npm run docs` writes', (file) => {
    expect(readFileSync(join(projectFolder, file), 'utf8')).toBe(documents[file]);
  });
});
