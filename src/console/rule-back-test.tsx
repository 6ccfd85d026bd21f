/** The rule in force and the draft side by side over old records: how far that is, and what came out. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { SeverityIcon } from './icons.tsx';
import { format, locale, messages } from './locale.ts';
import {
  type BackTestResult,
  type BackTestView,
  cancelBackTest,
  type DraftOf,
  getBackTest,
  type ProposalView,
  startBackTest,
} from './rule-api.ts';
import { ruleText, share } from './rule-text.ts';

const POLL_MS = 400;
const DAYS = [1, 7, 14, 30, 60];

/** A back-test with the draft that it is about, as one text. */
export type StartedTest = { view: BackTestView; about: string };

export function BackTest(props: {
  ruleId: string;
  draft: DraftOf;
  started: StartedTest | undefined;
  onStarted(test: StartedTest | undefined): void;
}) {
  const { ruleId, draft, started, onStarted } = props;
  const t = ruleText.value;
  const [days, setDays] = useState(7);
  const [failure, setFailure] = useState('');
  const view = started?.view;
  const running = view?.state === 'running';
  useEffect(() => {
    if (!running) return;
    const stopped = new AbortController();
    const poll = async (): Promise<void> => {
      while (!stopped.signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        const next = await getBackTest(ruleId, view!.id, stopped.signal);
        onStarted({ view: next, about: started!.about });
        if (next.state !== 'running') return;
      }
    };
    poll().catch((error: unknown) => {
      if (stopped.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.message);
    });
    return () => stopped.abort();
  }, [running, view?.id]);
  const begin = async (): Promise<void> => {
    setFailure('');
    try {
      onStarted({ view: await startBackTest(ruleId, draft, days), about: JSON.stringify(draft) });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailure(error.code === 'busy' ? t.busy : error.status === 422 ? t.wrong : t.failed(error.message));
    }
  };
  const cancel = async (): Promise<void> => {
    onStarted({ view: await cancelBackTest(ruleId, view!.id), about: started!.about });
  };
  return (
    <section aria-labelledby="back-test-heading" class="back-test">
      <h3 id="back-test-heading">{t.backTest}</h3>
      <p class="note">{t.backTestNote}</p>
      <div class="button-row">
        <label>
          {t.days}{' '}
          <select value={String(days)} onChange={(event) => setDays(Number(event.currentTarget.value))}>
            {DAYS.map((count) => (
              <option key={count} value={count}>
                {format.value.number(count)}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="button" disabled={running} onClick={() => void begin()}>
          {t.runBackTest}
        </button>
        {running && (
          <>
            <progress max={Math.max(1, view.total)} value={view.read} aria-label={t.backTest} />
            <span>{t.progress(share(view.total === 0 ? 0 : view.read / view.total))}</span>
            <button type="button" class="button" onClick={() => void cancel()}>
              {t.cancel}
            </button>
          </>
        )}
      </div>
      {failure !== '' && <p role="alert">{failure}</p>}
      <div role="status">
        {view?.state === 'cancelled' && <p>{t.cancelled}</p>}
        {view?.state === 'failed' && <p>{t.backTestFailed(view.failure)}</p>}
        {view?.state === 'done' && started?.about !== JSON.stringify(draft) && <p class="alarming">{t.otherDraft}</p>}
      </div>
      {view?.state === 'done' && view.result !== null && (
        <>
          <Figures figures={view.result} />
          <Examples name={t.examplesAdded} examples={view.result.addedExamples} />
          <Examples name={t.examplesGone} examples={view.result.goneExamples} />
        </>
      )}
    </section>
  );
}

type FiguresOf = NonNullable<ProposalView['backTest']>;
type Side = FiguresOf['now'];

export function Figures({ figures }: { figures: FiguresOf }) {
  const t = ruleText.value;
  const f = format.value;
  const { now, draft } = figures;
  const right = ({ precision, right: good, wrong }: Pick<Side, 'precision' | 'right' | 'wrong'>): string =>
    precision === null ? t.notJudged : t.judged(share(precision), f.number(good + wrong));
  const bands = Array.from({ length: Math.max(now.bands.length, draft.bands.length) }, (_, index) => index);
  return (
    <>
      <p class="note">
        {figures.records === 0
          ? t.period('–', f.number(0))
          : t.period(f.range(figures.from, figures.to), f.number(figures.records))}
        {figures.cut !== null && <strong> {t.cut[figures.cut]}</strong>}
      </p>
      <table class="figures back-test-figures">
        <thead>
          <tr>
            <td />
            <th scope="col">{t.inForce}</th>
            <th scope="col">{t.draft}</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">{t.alertsPerDay}</th>
            <td>{f.decimal(now.alertsPerDay, 1)}</td>
            <td>{f.decimal(draft.alertsPerDay, 1)}</td>
          </tr>
          <tr>
            <th scope="row">{t.alerts}</th>
            <td>{f.number(now.alerts)}</td>
            <td>{f.number(draft.alerts)}</td>
          </tr>
          <tr>
            <th scope="row">{t.precision}</th>
            <td>{right(now)}</td>
            <td>{right(draft)}</td>
          </tr>
          {bands.map((index) => (
            <tr key={index}>
              <th scope="row">
                {t.bandName(f.number(index + 1))} <BandLook band={draft.bands[index] ?? now.bands[index]!} />
              </th>
              {[now, draft].map((side, at) => (
                <td key={at === 0 ? 'now' : 'draft'}>
                  {side.bands[index] === undefined ? '–' : f.number(side.bands[index].alerts)}
                  {side.bands[index] !== undefined && side.bands[index].precision !== null && (
                    <span class="under">{right(side.bands[index])}</span>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <dl class="facts figures-line">
        {(
          [
            ['same', t.same, figures.same],
            ['added', t.added, figures.added],
            ['gone', t.gonePlural, figures.gone],
          ] as const
        ).map(([name, label, count]) => (
          <div key={name} class={`figure-${name}`}>
            <dt>{label}</dt>
            <dd>{f.number(count)}</dd>
          </div>
        ))}
      </dl>
      <Others others={figures.others} />
    </>
  );
}

/** Other rules that heed the alerts of this one, and so do something else. */
function Others({ others }: { others: FiguresOf['others'] }) {
  const t = ruleText.value;
  const f = format.value;
  // A back-test of before these were looked at says nothing of them.
  if (others === undefined) return null;
  if (others.length === 0) return <p class="note">{t.noOthers}</p>;
  return (
    <table class="data other-rules">
      <caption>{t.others}</caption>
      <thead>
        <tr>
          <th scope="col">{t.rule}</th>
          <th scope="col">{t.alertsBeforeAfter}</th>
          <th scope="col">{t.precision}</th>
          <th scope="col">{t.added}</th>
          <th scope="col">{t.gonePlural}</th>
          <th scope="col">{t.otherBand}</th>
        </tr>
      </thead>
      <tbody>
        {others.map((one) => (
          <tr key={one.ruleId}>
            <th scope="row">
              {one.title[locale.value]} <code>{one.ruleId}</code>
            </th>
            <td>{t.fromToCount(f.number(one.now.alerts), f.number(one.draft.alerts))}</td>
            <td>
              {one.now.precision === null || one.draft.precision === null
                ? t.notJudged
                : t.fromToCount(share(one.now.precision), share(one.draft.precision))}
            </td>
            <td>{f.number(one.added)}</td>
            <td>{f.number(one.gone)}</td>
            <td>{f.number(one.changed)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function BandLook({ band }: { band: { severity: string; score: number } }) {
  const severity = band.severity as 'info' | 'warning' | 'critical';
  return (
    <span class={`severity ${severity}`}>
      <SeverityIcon severity={severity} /> {messages.value.severity[severity]} {format.value.number(band.score)}
    </span>
  );
}

function Examples({ name, examples }: { name: string; examples: BackTestResult['addedExamples'] }) {
  const t = ruleText.value;
  if (examples.length === 0) return null;
  return (
    <details>
      <summary>
        {name} ({format.value.number(examples.length)})
      </summary>
      <table class="data">
        <thead>
          <tr>
            <th scope="col">{t.time}</th>
            <th scope="col">{t.subject}</th>
            <th scope="col">{t.reasonOfAlert}</th>
            <th scope="col">{t.outcome}</th>
          </tr>
        </thead>
        <tbody>
          {examples.map((example) => (
            <tr key={`${example.key.type} ${example.key.value} ${example.eventTime}`}>
              <td>{format.value.time(example.eventTime)}</td>
              <td>
                <bdi class="number">{example.key.value}</bdi>
              </td>
              <td>
                <bdi>{example.reason[locale.value]}</bdi>
              </td>
              <td>{t.verdicts[example.verdict]}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
