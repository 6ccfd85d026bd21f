/** The pages of the console, as its address names them. Each has its pictures in `pictures.ts`. */
export const PAGES = [
  'desk',
  'cases',
  'records',
  'rules',
  'lists',
  'deadletters',
  'operations',
  'audit',
  'admin',
] as const;
export type PageName = (typeof PAGES)[number];
