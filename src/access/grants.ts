/**
 * The words for what people and keys are given: roles, scopes, and how much of a number. What each of them allows says the table of
 * operations; they stand apart because the page on which they are given runs in a browser.
 */
export const ROLES = ['analyst', 'lead', 'retention', 'sre', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** What a key may be allowed; a person gets the same through roles. */
export const SCOPES = [
  'usage:write',
  'alerts:read',
  'subscribers:read',
  'rules:read',
  'rules:write',
  'cases:read',
  'cases:write',
  'deadletters:read',
  'deadletters:write',
  'operations:read',
  'audit:read',
] as const;
export type Scope = (typeof SCOPES)[number];

/** How much of a number is shown. `full`: all. `masked`: `86138****5678`. `own`: the same, and nothing of anybody else's. */
export const NUMBER_VIEWS = ['full', 'masked', 'own'] as const;
export type NumberView = (typeof NUMBER_VIEWS)[number];
