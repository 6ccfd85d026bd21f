/** How cases of a desk come to people: lanes with their conditions and times, and who takes from which. A lead edits it. */
import { useState } from 'preact/hooks';
import { type Desk, SEVERITIES } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { type DeskSettings, putRouting } from './case-api.ts';
import { CloseButton, Dialog } from './dialog.tsx';
import { format, messages } from './locale.ts';

type Routing = DeskSettings['routing'];
type Lane = Routing['lanes'][number];

const listOf = (text: string): string[] =>
  text
    .split(/[,，\s]+/)
    .map((one) => one.trim())
    .filter((one) => one !== '');

export function RoutingDialog(props: {
  desk: Desk;
  settings: DeskSettings;
  onChanged(next: DeskSettings): void;
  onClose(): void;
}) {
  const { desk, settings, onChanged, onClose } = props;
  const t = messages.value.routing;
  const [routing, setRouting] = useState<Routing>(settings.routing);
  const [failure, setFailure] = useState('');
  const { lanes, people } = routing;
  const setLane = (at: number, change: Partial<Lane>): void =>
    setRouting({ ...routing, lanes: lanes.with(at, { ...lanes[at]!, ...change }) });
  const save = async (): Promise<void> => {
    try {
      onChanged(await putRouting(desk, settings.version, routing));
      onClose();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    }
  };
  const minutes = (at: number, name: 'respondMin' | 'closeMin', label: string) => (
    <label class="field">
      <span>{label}</span>
      <input
        type="number"
        min="1"
        value={lanes[at]![name] ?? ''}
        onInput={(event) => {
          const given = event.currentTarget.valueAsNumber;
          setLane(at, { [name]: Number.isNaN(given) ? undefined : given });
        }}
      />
    </label>
  );
  return (
    <Dialog
      id="routing-heading"
      title={t.heading(messages.value.nav[desk])}
      wide
      dismiss={messages.value.cases.cancel}
      onClose={onClose}
    >
      <form
        class="dialog-body"
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <p class="hint">{t.hint}</p>
        {lanes.map((lane, at) => (
          <fieldset key={at} class="lane">
            <legend>{t.lane(format.value.number(at + 1))}</legend>
            <label class="field">
              <span>{t.name}</span>
              <input
                required
                maxLength={64}
                value={lane.name}
                onInput={(event) => setLane(at, { name: event.currentTarget.value })}
              />
            </label>
            <div class="boxes">
              <label class="check">
                <input
                  type="checkbox"
                  checked={lane.keyAccounts === true}
                  onChange={(event) => setLane(at, { keyAccounts: event.currentTarget.checked })}
                />
                {messages.value.cases.only.keyAccounts}
              </label>
              {[...SEVERITIES].reverse().map((severity) => (
                <label key={severity} class="check">
                  <input
                    type="checkbox"
                    checked={lane.severities?.includes(severity) ?? false}
                    onChange={(event) => {
                      const others = (lane.severities ?? []).filter((one) => one !== severity);
                      setLane(at, { severities: event.currentTarget.checked ? [...others, severity] : others });
                    }}
                  />
                  {messages.value.severity[severity]}
                </label>
              ))}
            </div>
            <div class="field-pair">
              <label class="field">
                <span>{t.rules}</span>
                <input
                  value={(lane.ruleIds ?? []).join(', ')}
                  onChange={(event) => setLane(at, { ruleIds: listOf(event.currentTarget.value) })}
                />
              </label>
              <label class="field">
                <span>{t.tags}</span>
                <input
                  value={(lane.tags ?? []).join(', ')}
                  onChange={(event) => setLane(at, { tags: listOf(event.currentTarget.value) })}
                />
              </label>
              {minutes(at, 'respondMin', t.respondMin)}
              {minutes(at, 'closeMin', t.closeMin)}
            </div>
            <div class="button-group">
              <button
                type="button"
                class="button"
                disabled={at === 0}
                onClick={() => setRouting({ ...routing, lanes: lanes.with(at, lanes[at - 1]!).with(at - 1, lane) })}
              >
                {t.earlier}
              </button>
              <button
                type="button"
                class="button"
                onClick={() => setRouting({ ...routing, lanes: lanes.filter((_lane, one) => one !== at) })}
              >
                {t.remove}
              </button>
            </div>
          </fieldset>
        ))}
        <button
          type="button"
          class="button"
          onClick={() => setRouting({ ...routing, lanes: [...lanes, { name: '' }] })}
        >
          {t.addLane}
        </button>
        <label class="field">
          <span>{t.people}</span>
          <textarea
            rows={3}
            defaultValue={people.map(({ name, lanes: of }) => `${name}: ${of.join(', ')}`).join('\n')}
            onChange={(event) => {
              const lines = event.currentTarget.value.split('\n').filter((line) => line.includes(':'));
              const named = lines.map((line) => {
                const [name = '', of = ''] = line.split(':', 2);
                return {
                  name: name.trim(),
                  lanes: of
                    .split(/[,，]/)
                    .map((one) => one.trim())
                    .filter((one) => one !== ''),
                };
              });
              setRouting({ ...routing, people: named });
            }}
          />
        </label>
        {settings.history.length > 0 && (
          <ol class="timeline">
            {settings.history.map(({ sequence, at, by, routing: then }) => (
              <li key={sequence}>
                <time dateTime={new Date(at).toISOString()}>{format.value.dateTime(at)}</time>{' '}
                <bdi class="who">{by}</bdi> {t.changed((then?.lanes ?? []).map(({ name }) => name).join(', '))}{' '}
                {then !== undefined && sequence !== settings.history[0]?.sequence && (
                  <button type="button" class="button" onClick={() => setRouting(then)}>
                    {t.takeBack}
                  </button>
                )}
              </li>
            ))}
          </ol>
        )}
        {failure !== '' && (
          <p class="alarming" role="alert">
            {messages.value.cases.failed(failure)}
          </p>
        )}
        <div class="button-group">
          <CloseButton label={messages.value.cases.cancel} />
          <button type="submit" class="button primary" disabled={lanes.some(({ name }) => name.trim() === '')}>
            {t.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
