/**
 * What a desk has decided about its own work: saved views of the list of cases, and the lanes that route cases to people. Every
 * change is one event in CASES on `cases.<desk>.settings`, published behind the newest one, so that of two leads who change the
 * routing at once one is told. What they amount to is folded from all of them, the same on every gateway.
 */
import { type Static, type TProperties, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DESKS, type Desk, SEVERITIES } from '../alerts/alert.ts';

export const VIEWS_MAX = 200;
export const LANES_MAX = 20;
export const LANE_PEOPLE_MAX = 500;
const LANE_MINUTES_MAX = 60 * 24 * 30;
const FILTERS_MAX = 20;

const closed = { additionalProperties: false } as const;
const text = (lengthMax: number) =>
  Type.String({ minLength: 1, maxLength: lengthMax, pattern: '^[^\\u0000-\\u001f\\u007f]+$' });
const minutes = Type.Integer({ minimum: 1, maximum: LANE_MINUTES_MAX });
export const viewIdSchema = Type.String({ pattern: '^[0-9a-f-]{1,40}$' });

const laneSchema = Type.Object(
  {
    name: text(64),
    keyAccounts: Type.Optional(Type.Boolean({ description: 'Only cases of key accounts.' })),
    severities: Type.Optional(Type.Array(Type.Enum([...SEVERITIES], { type: 'string' }), { maxItems: 3 })),
    ruleIds: Type.Optional(
      Type.Array(text(128), { maxItems: 50, description: 'With an alert of one of these rules.' }),
    ),
    tags: Type.Optional(
      Type.Array(text(40), { maxItems: 20, description: 'With one of these tags, e.g. a language.' }),
    ),
    respondMin: Type.Optional(minutes),
    closeMin: Type.Optional(minutes),
  },
  {
    ...closed,
    description: 'A case is in the first lane of which all that is said holds; its minutes count from its opening.',
  },
);
export const RoutingSchema = Type.Object(
  {
    lanes: Type.Array(laneSchema, { maxItems: LANES_MAX }),
    people: Type.Array(Type.Object({ name: text(128), lanes: Type.Array(text(64), { maxItems: LANES_MAX }) }, closed), {
      maxItems: LANE_PEOPLE_MAX,
      description: 'Who takes from which lanes; who is not named takes from all.',
    }),
  },
  { $id: 'Routing', ...closed },
);
export type Routing = Static<typeof RoutingSchema>;
export type Lane = Routing['lanes'][number];

export const ViewBodySchema = Type.Object(
  {
    name: text(64),
    shared: Type.Boolean({ description: 'The whole desk sees it; else only who made it.' }),
    filters: Type.Record(Type.String({ pattern: '^[a-z]{1,20}$' }), Type.String({ maxLength: 128 }), {
      maxProperties: FILTERS_MAX,
      description: 'What the address of the list says: status, who, severity, rule, tag, lane, order, columns ...',
    }),
  },
  { $id: 'CaseViewBody', ...closed },
);
export type ViewBody = Static<typeof ViewBodySchema>;

export const DefaultViewSchema = Type.Object(
  {
    viewId: Type.Union([viewIdSchema, Type.Null()], {
      description: 'A shared view that the list of cases opens with; null: with all cases.',
    }),
  },
  { $id: 'DefaultView', ...closed },
);

const bodies = {
  view: { viewId: viewIdSchema, ...ViewBodySchema.properties },
  viewRemoved: { viewId: viewIdSchema },
  defaultView: DefaultViewSchema.properties,
  routing: RoutingSchema.properties,
} satisfies Record<string, TProperties>;
const common = { id: Type.String({ minLength: 1, maxLength: 64 }), by: text(128) };
export const DeskSettingsEventSchema = Type.Union(
  [
    Type.Object({ type: Type.Literal('view'), ...common, ...bodies.view }, closed),
    Type.Object({ type: Type.Literal('viewRemoved'), ...common, ...bodies.viewRemoved }, closed),
    Type.Object({ type: Type.Literal('defaultView'), ...common, ...bodies.defaultView }, closed),
    Type.Object({ type: Type.Literal('routing'), ...common, ...bodies.routing }, closed),
  ],
  { $id: 'DeskSettingsEvent', description: 'One message on `cases.<desk>.settings`.' },
);
export type DeskSettingsEvent = { id: string; by: string } & (
  | ({ type: 'view'; viewId: string } & ViewBody)
  | { type: 'viewRemoved'; viewId: string }
  | { type: 'defaultView'; viewId: string | null }
  | ({ type: 'routing' } & Routing)
);

export interface SettingsMessage {
  sequence: number;
  at: number;
  desk: Desk;
  event: DeskSettingsEvent;
}

export interface SavedView extends ViewBody {
  viewId: string;
  /** Who made it. */
  owner: string;
}

export interface DeskSettings {
  /** Sequence of the newest change; 0: none. */
  version: number;
  views: SavedView[];
  /** One of the shared views; null: none is. */
  defaultViewId: string | null;
  routing: Routing;
}

export const NO_SETTINGS: DeskSettings = {
  version: 0,
  views: [],
  defaultViewId: null,
  routing: { lanes: [], people: [] },
};

const checker = Compile(DeskSettingsEventSchema);
export const isSettingsEvent = (value: unknown): value is DeskSettingsEvent => checker.Check(value);

export const settingsSubject = (desk: Desk): string => `cases.${desk}.settings`;

/** The desk of a subject of settings; undefined where it is none. */
export function deskOfSettings(subject: string): Desk | undefined {
  return DESKS.find((desk) => subject === settingsSubject(desk));
}

/** The event in a message; undefined where it is none. */
export function readSettingsEvent(data: Uint8Array): DeskSettingsEvent | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
    return isSettingsEvent(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Settings with one event more. A view beyond VIEWS_MAX is not taken, and neither is a default that is no shared view. */
export function withSettings(before: DeskSettings, { sequence, event }: SettingsMessage): DeskSettings {
  const after = { ...before, version: sequence };
  if (event.type === 'routing') return { ...after, routing: { lanes: event.lanes, people: event.people } };
  if (event.type === 'defaultView') {
    const isShared = before.views.some(({ viewId, shared }) => shared && viewId === event.viewId);
    return event.viewId === null || isShared ? { ...after, defaultViewId: event.viewId } : after;
  }
  const { viewId } = event;
  // What is gone or private is nobody's default.
  if (viewId === before.defaultViewId && !(event.type === 'view' && event.shared)) after.defaultViewId = null;
  const others = before.views.filter((view) => view.viewId !== viewId);
  if (event.type === 'viewRemoved') return { ...after, views: others };
  if (others.length >= VIEWS_MAX) return after;
  const owner = before.views.find((view) => view.viewId === viewId)?.owner ?? event.by;
  const { name, shared, filters } = event;
  return { ...after, views: [...others, { viewId, owner, name, shared, filters }] };
}
