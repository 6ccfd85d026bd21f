/** How many cases a property draws: as many as are quick, in `npm run faults` (R28) ten thousand at least. */
const CASES_OF_THE_WHOLE = 10_000;

export const cases = (usual: number): number =>
  process.env['RINGFENCE_FAULTS'] === 'whole' ? Math.max(usual, CASES_OF_THE_WHOLE) : usual;
