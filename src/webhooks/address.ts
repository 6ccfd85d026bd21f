/**
 * Where a webhook may go. Whoever can name an address that this process then calls can reach what only this process can
 * reach, so the operator lists the hosts, and what a name resolves to is looked at, not only the name: a public name
 * that leads to a private address is refused at the moment of connecting, with the very addresses that are connected to.
 */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Not the public internet: this machine, private networks, link-local (cloud metadata), shared, documentation, multicast. */
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];
/** Of IPv6 only 2000::/3 is public, and in it not what carries an IPv4 address inside or is for documents. */
const NOT_PUBLIC_V6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const notPublic = new BlockList();
for (const [network, bits] of NOT_PUBLIC_V4) notPublic.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of NOT_PUBLIC_V6) notPublic.addSubnet(network, bits, 'ipv6');
const publicV6 = new BlockList();
publicV6.addSubnet('2000::', 3, 'ipv6');

export interface WebhookAllowList {
  /** What speaks against the URL itself; undefined where nothing does. */
  urlProblem(url: string): string | undefined;
  /** What speaks against connecting there; `secure`: over TLS. */
  addressProblem(address: string, secure: boolean): string | undefined;
  /** For `http.request`: resolves a name and refuses it where any of its addresses is refused. */
  lookup(secure: boolean): (hostname: string, options: LookupOptions, done: LookupDone) => void;
}

type LookupDone = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

const NETWORK = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/;

/** What is wrong with an entry of the allow-list; undefined where nothing is. */
export function allowEntryProblem(entry: string): string | undefined {
  const [, network = '', bits = ''] = NETWORK.exec(entry) ?? [];
  if (network !== '') {
    const version = isIP(network);
    return version !== 0 && Number(bits) <= (version === 4 ? 32 : 128) ? undefined : `${entry} is no network`;
  }
  return /^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(entry) ? undefined : `${entry} is no host name`;
}

/**
 * @param entries host names (`hooks.example.com`, `*.example.com`), and networks (`10.1.0.0/16`) for private addresses,
 *   which are refused otherwise
 */
export function createAllowList(entries: readonly string[]): WebhookAllowList {
  const names = entries.filter((entry) => !NETWORK.test(entry));
  const networks = new BlockList();
  for (const entry of entries) {
    const [, network = '', bits = ''] = NETWORK.exec(entry) ?? [];
    if (network !== '') networks.addSubnet(network, Number(bits), isIPv4(network) ? 'ipv4' : 'ipv6');
  }
  const isListed = (address: string): boolean => networks.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');

  const addressProblem = (given: string, secure: boolean): string | undefined => {
    const address = plainAddress(given);
    if (isIP(address) === 0) return `${given} is no address`;
    if (isListed(address)) return undefined;
    const isPublic = isIPv4(address)
      ? !notPublic.check(address, 'ipv4')
      : publicV6.check(address, 'ipv6') && !notPublic.check(address, 'ipv6');
    if (!isPublic) return `${given} is a private address that is not allowed`;
    return secure ? undefined : 'only https may leave the private networks that are allowed';
  };

  return {
    addressProblem,
    urlProblem(text) {
      const url = URL.parse(text);
      if (url === null || !['http:', 'https:'].includes(url.protocol)) return 'it is no http or https URL';
      if (url.username !== '' || url.password !== '') return 'it has credentials in it';
      const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
      if (isIP(host) !== 0) return addressProblem(host, url.protocol === 'https:');
      const isAllowed = names.some((name) => (name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name));
      return isAllowed ? undefined : `the host ${host} is not in the list of allowed hosts`;
    },
    lookup: (secure) => (hostname, options, done) => {
      dnsLookup(hostname, { ...options, all: true }, (error, addresses) => {
        if (error !== null) return done(error, []);
        const problem = addresses
          .map(({ address }) => addressProblem(address, secure))
          .find((one) => one !== undefined);
        if (problem !== undefined || addresses.length === 0) {
          return done(new Error(problem ?? `${hostname} has no address`), []);
        }
        if (options.all === true) done(null, addresses);
        else done(null, addresses[0]!.address, addresses[0]!.family);
      });
    },
  };
}

/** `::ffff:10.0.0.1` is 10.0.0.1, however it is written. */
function plainAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  const host = URL.parse(`http://[${address.replace(/%.*$/, '')}]/`)?.hostname.slice(1, -1) ?? address;
  const [, high = '', low = ''] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host) ?? [];
  if (high === '') return host;
  const value = Number.parseInt(high, 16) * 0x1_0000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}
