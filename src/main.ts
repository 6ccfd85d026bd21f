#!/usr/bin/env node
/**
 * Where the program begins. A command that holds a state may have to start itself again before anything else is loaded: all of it
 * would be loaded twice, 0.4 s of a core. Then the command line.
 */
import { useLargePages } from './cli/large-pages.ts';

if (process.argv[2] === 'serve' || process.argv[2] === 'bench') useLargePages();
await import('./cli/program.ts');
