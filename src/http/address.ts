/**
 * Who may talk to us, as far as addresses tell: where we listen, and which web pages may use us. While no sign-in is set
 * up the network is the only guard: we listen on loopback alone, and because every web page that a browser on this
 * machine opens can reach loopback, requests with a foreign `Origin` or `Host` are refused.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { RingfenceError } from '../errors.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** True for `localhost` and the loopback addresses. Other names are not looked up: what they mean can change. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const version = isIP(name);
  if (version === 0) return name === 'localhost';
  return loopback.check(name, version === 4 ? 'ipv4' : 'ipv6');
}

const LISTEN_HINT =
  'Create the first user with `ringfence users add NAME --role admin`, or listen on 127.0.0.1, ::1 or localhost.';
/** Metrics and health ask nobody who they are. */
export const OPERATIONS_LISTEN_HINT =
  'Metrics and health are for programs on this machine: listen on 127.0.0.1, ::1 or localhost.';

/** @throws RingfenceError `http.not-loopback`, exit code 3, where the host is reachable from elsewhere. */
export function assertLoopback(host: string, hint = LISTEN_HINT): void {
  if (isLoopback(host)) return;
  throw new RingfenceError({
    code: 'http.not-loopback',
    message: `Refusing to listen on ${host || 'all addresses'}: without sign-in only this machine may connect.`,
    hint,
  });
}

/** `http://127.0.0.1:8080` for a host and port, IPv6 in brackets. */
export function urlOf(host: string, port: number): string {
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/** A RingfenceError for a listener that could not be bound; other errors are returned as they are. */
export function listenError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another process listens there',
    EACCES: 'this user may not use that port',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'the name is not known',
  };
  const reason = typeof code === 'string' ? reasons[code] : undefined;
  if (reason === undefined) return error;
  return new RingfenceError({
    code: 'http.cannot-listen',
    message: `Cannot listen on ${host}:${port}: ${reason}.`,
    hint: 'Choose another address with --listen or --ops-listen; port 0 takes a free one.',
    cause: error,
  });
}

export interface AddressGuard {
  /** False: the request came under a name that is not ours, as in DNS rebinding. */
  hostAllowed(headers: IncomingHttpHeaders): boolean;
  /** False: a page of another site sent this. Programs send no `Origin` and may. */
  originAllowed(headers: IncomingHttpHeaders): boolean;
  /** True where the name by which we were asked is one of an allowed origin with TLS: a proxy encrypts for us. */
  isSecure(headers: IncomingHttpHeaders): boolean;
}

/**
 * @param allowedOrigins origins beside our own, e.g. `https://ringfence.example.com` of a reverse proxy.
 * @param signInRequired whether somebody has to sign in: then an address may be named as well as a known name. It cannot be
 * made to mean another machine, as a name can, and the session of a name is not sent to an address.
 * @throws RingfenceError `http.origin-wrong` where one is not an origin.
 */
export function createAddressGuard(
  allowedOrigins: string[],
  signInRequired: () => boolean = () => false,
): AddressGuard {
  const origins = new Set<string>();
  const hosts = new Set<string>();
  for (const text of allowedOrigins) {
    const url = URL.parse(text);
    if (url === null || url.origin === 'null' || url.origin !== text.replace(/\/$/, '').toLowerCase()) {
      throw new RingfenceError({
        code: 'http.origin-wrong',
        message: `${JSON.stringify(text)} is not an origin.`,
        hint: 'Write scheme, host and port only, e.g. https://ringfence.example.com.',
      });
    }
    origins.add(url.origin);
    hosts.add(url.host);
  }
  return {
    hostAllowed({ host }) {
      if (host === undefined) return false;
      const url = URL.parse(`http://${host}`);
      if (url === null) return false;
      if (isLoopback(url.hostname) || hosts.has(host.toLowerCase())) return true;
      return isIP(url.hostname.replace(/^\[(.*)\]$/, '$1')) !== 0 && signInRequired();
    },
    originAllowed({ origin, host }) {
      if (origin === undefined) return true;
      const url = URL.parse(origin);
      if (url === null || url.origin === 'null') return false;
      return origins.has(url.origin) || url.host === host?.toLowerCase();
    },
    isSecure: ({ host }) => origins.has(`https://${host?.toLowerCase()}`),
  };
}
