/**
 * Signing in through an identity provider: OpenID Connect, authorisation code with PKCE, by the certified client library.
 * It takes an ID token only if it is signed by a key of the provider's own key set, with the algorithm of the configuration, for
 * us, now, and for the very browser that set out (state, nonce and PKCE of this attempt). Roles and desks come from one claim,
 * by the table of the configuration; who is known there and has no row in it may not come in.
 *
 * The provider is asked for its addresses when somebody first wants to sign in: it may be away when we start.
 */
import { randomBytes } from 'node:crypto';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
  None,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import type { Desk } from '../alerts/alert.ts';
import type { Role } from './grants.ts';
import { grantProblem } from './table.ts';

/** The provider answers in milliseconds, or somebody waits before a blank page. */
const PROVIDER_LIMIT_SEC = 10;
/** Time for a person to sign in there, with a second factor that lies in another room. */
export const ATTEMPT_LIFE_MS = 10 * 60_000;
/** Attempts under way; the oldest ones are forgotten. */
export const ATTEMPTS_MAX = 1_000;
const NAME_CHARACTERS_MAX = 128;

export interface OidcSettings {
  issuer: string;
  clientId: string;
  /** Undefined: a public client, which PKCE alone protects. */
  clientSecret: string | undefined;
  /** Where browsers reach us. */
  publicUrl: string;
  scope: string;
  /** Algorithm of the signature of ID tokens. */
  signedWith: string;
  /** Claim that says what somebody is; a text or a list of texts. */
  claim: string;
  grants: readonly { value: string; roles: readonly Role[]; desks: readonly Desk[] }[];
}

export type OidcOutcome =
  | { kind: 'person'; name: string; subject: string; roles: Role[]; desks: Desk[] }
  /** Known to the provider, and nobody here. */
  | { kind: 'refused'; name: string; subject: string }
  /** The attempt is unknown or too old, or what came back does not prove anything. */
  | { kind: 'failed'; reason: string };

export interface OidcSignIn {
  /** Where to send a browser, and the handle that it has to bring back. Rejects where the provider does not answer. */
  begin(): Promise<{ address: string; handle: string }>;
  /** @param query what the provider sent the browser back with */
  finish(handle: string | undefined, query: URLSearchParams): Promise<OidcOutcome>;
  attempts(): number;
}

export function createOidcSignIn(settings: OidcSettings, now: () => number): OidcSignIn {
  const { issuer, clientId, clientSecret, publicUrl, scope, signedWith, claim, grants } = settings;
  const redirectUri = new URL('v1/session/oidc/callback', publicUrl).href;
  const attempts = new Map<string, { verifier: string; nonce: string; state: string; until: number }>();

  let found: Promise<Configuration> | undefined;
  const provider = (): Promise<Configuration> => {
    found ??= discovery(
      new URL(issuer),
      clientId,
      { id_token_signed_response_alg: signedWith, ...(clientSecret !== undefined && { client_secret: clientSecret }) },
      clientSecret === undefined ? None() : undefined,
      {
        timeout: PROVIDER_LIMIT_SEC,
        // A signature is checked although the token came over TLS from the provider itself. Without TLS only on this machine.
        execute: [enableNonRepudiationChecks, ...(issuer.startsWith('http:') ? [allowInsecureRequests] : [])],
      },
    ).catch((error: unknown) => {
      // Asked again at the next attempt.
      found = undefined;
      throw error;
    });
    return found;
  };

  return {
    attempts: () => attempts.size,
    async begin() {
      const configuration = await provider();
      const verifier = randomPKCECodeVerifier();
      const nonce = randomNonce();
      const state = randomState();
      const handle = randomBytes(32).toString('base64url');
      for (const [oldest, { until }] of attempts) {
        if (until > now() && attempts.size < ATTEMPTS_MAX) break;
        attempts.delete(oldest);
      }
      attempts.set(handle, { verifier, nonce, state, until: now() + ATTEMPT_LIFE_MS });
      const address = buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope,
        state,
        nonce,
        code_challenge: await calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
      return { address: address.href, handle };
    },
    async finish(handle, query) {
      const attempt = handle === undefined ? undefined : attempts.get(handle);
      if (handle === undefined || attempt === undefined) return { kind: 'failed', reason: 'no such attempt' };
      // Once, whatever comes of it.
      attempts.delete(handle);
      if (attempt.until <= now()) return { kind: 'failed', reason: 'the attempt is too old' };
      try {
        const configuration = await provider();
        const back = new URL(redirectUri);
        back.search = query.toString();
        const tokens = await authorizationCodeGrant(configuration, back, {
          pkceCodeVerifier: attempt.verifier,
          expectedNonce: attempt.nonce,
          expectedState: attempt.state,
          idTokenExpected: true,
        });
        const token = tokens.claims();
        if (token === undefined) return { kind: 'failed', reason: 'no ID token' };
        // Many providers give groups at their userinfo address alone.
        const claims: Record<string, unknown> =
          token[claim] === undefined
            ? { ...(await fetchUserInfo(configuration, tokens.access_token, token.sub)), ...token }
            : token;
        const shown = [claims['preferred_username'], claims['email'], token.sub].find((one) => typeof one === 'string');
        // No local user has a colon in the name, so the two are never taken for each other.
        const name = `oidc:${String(shown).slice(0, NAME_CHARACTERS_MAX)}`;
        const values = [claims[claim]].flat();
        const granted = grants.filter(({ value }) => values.includes(value));
        const roles = [...new Set(granted.flatMap((grant) => grant.roles))];
        const desks = [...new Set(granted.flatMap((grant) => grant.desks))];
        const person = { name, subject: token.sub };
        if (grantProblem(roles, desks) !== undefined) return { kind: 'refused', ...person };
        return { kind: 'person', ...person, roles, desks };
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        // Whatever the library finds wrong with an answer is an error of its own kinds; none of them is ours to crash on.
        const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
        return { kind: 'failed', reason: `${error.message}${cause}`.slice(0, 200) };
      }
    },
  };
}
