/** What is known about a subscriber now: usage over a window as a chart, ledger, scores, other alerts, every feature. */
import { useMemo, useState } from 'preact/hooks';
import { DESKS, type Evidence, SEVERITIES } from '../alerts/alert.ts';
import type { SubscriberView } from '../http/schemas.ts';
import type { FeatureView } from './api.ts';
import { Fact } from './fact.tsx';
import { FailureNote } from './failure-note.tsx';
import { FeatureName, featureText, valueText, windowText } from './feature-name.tsx';
import { SeverityIcon } from './icons.tsx';
import { later } from './later.tsx';
import { Choice } from './list-page.tsx';
import { format, messages } from './locale.ts';
import { formatPlace, go, NO_OPENED, place } from './location.ts';
import { ruleTitle } from './rule-names.ts';
import { may } from './session.ts';
import { keyTypeName, scorePartName, stageName, tierName, worthName } from './slugs.ts';
import type { SubscriberState } from './subscriber-source.ts';
import { TimePlot } from './time-plot.tsx';
import { wholeWindow } from './usage-window.ts';

const EarlierAlerts = later(async () => (await import('./earlier-alerts.tsx')).EarlierAlerts);

const CHART_HEIGHT_PX = 168;

export interface SubscriberSectionProps {
  subscriber: SubscriberState;
  /** Features that an alert names: the first of them that has panes is charted first. */
  evidence: Evidence[];
  openAlertId: string;
}

export function SubscriberSection({ subscriber, evidence, openAlertId }: SubscriberSectionProps) {
  const t = messages.value.subscriber;
  const { msisdn, view, unknown, error } = subscriber;
  return (
    <section class="subscriber" aria-labelledby="subscriber-heading">
      <h2 id="subscriber-heading">
        {t.heading}{' '}
        {msisdn !== '' && <span class="number">{view?.servedMsisdn ?? (msisdn.startsWith('s_') ? '' : msisdn)}</span>}
      </h2>
      {msisdn === '' && <p class="note">{t.none}</p>}
      {unknown && <p class="note">{t.unknown}</p>}
      <FailureNote failure={error} say={t.failed} />
      {msisdn !== '' && view === undefined && !unknown && error === '' && <p class="note">{t.loading}</p>}
      {view !== undefined && (
        <>
          <SubscriberFacts view={view} />
          {may('listSubscriberRecords') && (
            <a
              class="button records-link"
              href={formatPlace({ ...place.value, ...NO_OPENED, page: 'records', msisdn })}
            >
              {t.records}
            </a>
          )}
          <UsageChart features={view.features} evidence={evidence} clockAt={view.lastSeenAt} />
          <LedgerBlock ledger={view.ledger} />
          <ScoresBlock scores={view.scores} />
          <OpenAlertsBlock view={view} openAlertId={openAlertId} />
          <FeaturesBlock features={view.features} />
        </>
      )}
      {msisdn !== '' && may('listAlerts') && <EarlierAlerts key={msisdn} subscriber={msisdn} />}
    </section>
  );
}

function SubscriberFacts({ view }: { view: SubscriberView }) {
  const t = messages.value.subscriber;
  const f = format.value;
  return (
    <dl class="facts">
      <Fact name={t.firstSeen}>{f.dateTime(view.firstSeenAt)}</Fact>
      <Fact name={t.lastSeen}>{f.dateTime(view.lastSeenAt)}</Fact>
      {view.balance !== null && <Fact name={t.balance}>{f.value(view.balance, 'currency')}</Fact>}
      {view.lifecycleStage !== null && (
        <Fact name={messages.value.panel.lifecycleStage}>{stageName(view.lifecycleStage)}</Fact>
      )}
      {Object.entries(view.value ?? {})
        .filter((entry): entry is [string, string | number] => ['string', 'number'].includes(typeof entry[1]))
        .map(([name, value]) => (
          <Fact key={name} name={worthName(name)}>
            {worthText(name, value)}
          </Fact>
        ))}
    </dl>
  );
}

/** Probabilities in per cent, money in currency, moments as such; ranks are plain numbers. */
function worthText(name: string, value: string | number): string {
  const f = format.value;
  if (name === 'tier') return tierName(String(value));
  if (name === 'lifecycleSince' && typeof value === 'number') return f.dateTime(value);
  if (name === 'churnProbability') return f.value(value, 'share');
  return f.value(value, name === 'lifetimeValue' || name === 'expectedSaveValue' ? 'currency' : '');
}

const featureKey = (feature: FeatureView): string =>
  [feature.feature, feature.window, feature.keyType, feature.keyValue].join(' ');

interface UsageChartProps {
  features: FeatureView[];
  evidence: Evidence[];
  /** The subscriber's clock: the time of its newest record. */
  clockAt: number;
}

function UsageChart({ features, evidence, clockAt }: UsageChartProps) {
  const t = messages.value.subscriber;
  const f = format.value;
  const [chosen, setChosen] = useState('');
  const [pointedAt, setPointedAt] = useState<number | null>(null);
  const charted = features.filter((feature) => (feature.panes?.length ?? 0) > 0);
  const named = charted.find((feature) =>
    evidence.some((item) => item.feature === feature.feature && item.window === feature.window),
  );
  const shown = charted.find((feature) => featureKey(feature) === chosen) ?? named ?? charted[0];
  const panes = useMemo(
    () => (shown === undefined ? [] : wholeWindow(shown.panes ?? [], shown.window, shown.paneSec, clockAt)),
    [shown, clockAt],
  );
  const data = useMemo(
    (): [number[], number[]] => [panes.map((pane) => pane.startAt), panes.map((pane) => pane.value)],
    [panes],
  );
  if (shown === undefined) return <p class="note">{t.noPanes}</p>;

  const paneMs = (shown.paneSec ?? 0) * 1000;
  const pane = pointedAt === null ? undefined : panes[pointedAt];
  const total = f.value(shown.value, shown.unit);
  return (
    <section aria-labelledby="usage-heading">
      <div class="block-heading">
        <h3 id="usage-heading">{t.usage}</h3>
        <Choice
          label={t.usageWindow}
          value={featureKey(shown)}
          options={charted.map((feature) => [
            featureKey(feature),
            t.windowOption(featureText(feature), windowText(feature.window)),
          ])}
          onChoose={setChosen}
        />
      </div>
      <p class="chart-reading">
        {pane === undefined ? (
          <>
            <span class="muted">{t.total}</span> <strong>{total}</strong>
          </>
        ) : (
          <>
            <span class="muted">{f.range(pane.startAt, pane.startAt + paneMs)}</span>{' '}
            <strong>{f.value(pane.value, shown.unit)}</strong>
          </>
        )}
      </p>
      <TimePlot
        label={t.chart(featureText(shown), windowText(shown.window), total)}
        series={[{ label: featureText(shown), color: '--series-1', kind: 'bars' }]}
        data={data}
        heightPx={CHART_HEIGHT_PX}
        formatValue={(value) => f.value(value, shown.unit)}
        {...(shown.paneSec === undefined ? {} : { barSec: shown.paneSec })}
        onCursor={setPointedAt}
      />
      <details>
        <summary>{t.asTable}</summary>
        <table class="data">
          <thead>
            <tr>
              <th scope="col">{t.paneTime}</th>
              <th scope="col" class="numeric">
                {messages.value.panel.value}
              </th>
            </tr>
          </thead>
          <tbody>
            {panes.map(({ startAt, value }) => (
              <tr key={startAt}>
                <td>{f.range(startAt, startAt + paneMs)}</td>
                <td class="numeric">{f.value(value, shown.unit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}

function LedgerBlock({ ledger }: { ledger: SubscriberView['ledger'] }) {
  const t = messages.value.subscriber;
  const f = format.value;
  if (ledger === null) return null;
  const money = (value: number): string => f.value(value, 'currency');
  return (
    <section aria-labelledby="ledger-heading">
      <h3 id="ledger-heading">{t.ledger}</h3>
      <dl class="facts figures">
        <Fact name={t.unpaid}>{money(ledger.unpaid)}</Fact>
        <Fact name={t.overdue}>
          <span class={ledger.overdue > 0 ? 'strong alarming' : ''}>{money(ledger.overdue)}</span>
        </Fact>
        <Fact name={t.daysPastDue}>{f.number(ledger.daysPastDue)}</Fact>
        <Fact name={t.bucket}>{messages.value.bucket[ledger.bucket]}</Fact>
        {ledger.openDisputes > 0 && <Fact name={t.openDisputes}>{f.number(ledger.openDisputes)}</Fact>}
        {ledger.promise && (
          <Fact name={t.promise}>
            {ledger.promise.amount === null ? '–' : money(ledger.promise.amount)} · {f.day(ledger.promise.until)}
          </Fact>
        )}
        <Fact name={t.unbilled}>{money(ledger.unbilled)}</Fact>
        {ledger.creditLimit !== null && <Fact name={t.creditLimit}>{money(ledger.creditLimit)}</Fact>}
        {ledger.exposureRatio !== null && <Fact name={t.exposureRatio}>{f.percent(ledger.exposureRatio)}</Fact>}
        {ledger.expectedLoss !== null && <Fact name={t.expectedLoss}>{money(ledger.expectedLoss)}</Fact>}
      </dl>
      {ledger.openInvoices.length === 0 ? (
        <p class="note">{t.noOpenInvoices}</p>
      ) : (
        <table class="data">
          <thead>
            <tr>
              <th scope="col">{t.invoice}</th>
              <th scope="col">{t.due}</th>
              <th scope="col" class="numeric">
                {t.remaining}
              </th>
            </tr>
          </thead>
          <tbody>
            {ledger.openInvoices.map((invoice) => (
              <tr key={invoice.invoiceId}>
                <th scope="row">
                  <code>{invoice.invoiceId}</code>
                </th>
                <td>{f.day(invoice.dueAt)}</td>
                <td class="numeric">{money(invoice.remaining)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** A score of alerts is named after its desk, and is made of rules; the others are those of models. */
function scoreName(name: string): string {
  const desk = DESKS.find((known) => known === name);
  return desk === undefined ? scorePartName(name) : messages.value.subscriber.alertScore(messages.value.nav[desk]);
}

function ScoresBlock({ scores }: { scores: SubscriberView['scores'] }) {
  const t = messages.value.subscriber;
  const f = format.value;
  if (scores.length === 0) return null;
  return (
    <section aria-labelledby="scores-heading">
      <h3 id="scores-heading">{t.scores}</h3>
      {scores.map((score) => (
        <table class="data" key={score.name}>
          <thead>
            <tr>
              <th scope="col">{scoreName(score.name)}</th>
              <th scope="col" class="numeric">
                {f.decimal(score.value, 3)}
              </th>
            </tr>
          </thead>
          <tbody>
            {score.contributions.map((contribution) => (
              <tr key={contribution.name}>
                <th scope="row">{ruleTitle(contribution.name) ?? scorePartName(contribution.name)}</th>
                <td class="numeric">{f.signed(contribution.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ))}
    </section>
  );
}

function OpenAlertsBlock({ view, openAlertId }: { view: SubscriberView; openAlertId: string }) {
  const t = messages.value;
  return (
    <section aria-labelledby="open-alerts-heading">
      <h3 id="open-alerts-heading">{t.subscriber.openAlerts}</h3>
      {view.openAlerts.length === 0 ? (
        <p class="note">{t.subscriber.noOpenAlerts}</p>
      ) : (
        <ul class="open-alerts">
          {view.openAlerts.map((alert) => {
            const severity = SEVERITIES.find((known) => known === alert.severity) ?? 'info';
            const desk = DESKS.find((known) => known === alert.desk) ?? place.value.desk;
            const destination = { ...place.value, ...NO_OPENED, page: 'desk' as const, desk, alertId: alert.alertId };
            return (
              <li key={alert.alertId}>
                <span class={`severity ${severity}`}>
                  <SeverityIcon severity={severity} />
                  {t.severity[severity]}
                </span>
                <a
                  href={formatPlace(destination)}
                  aria-current={alert.alertId === openAlertId ? 'true' : undefined}
                  onClick={(event) => {
                    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                    event.preventDefault();
                    go(destination);
                  }}
                >
                  {ruleTitle(alert.ruleId) ?? <code>{alert.ruleId}</code>}
                </a>
                <span class="muted">{t.nav[desk]}</span>
                <time dateTime={new Date(alert.since).toISOString()}>{format.value.time(alert.since)}</time>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}

function FeaturesBlock({ features }: { features: FeatureView[] }) {
  const t = messages.value;
  // Rules ask for more than any one subscriber does: what has no value yet says nothing.
  const known = features.filter((feature) => feature.value !== null);
  if (known.length === 0) return null;
  return (
    <section aria-labelledby="features-heading">
      <h3 id="features-heading">{t.subscriber.features}</h3>
      <table class="data">
        <thead>
          <tr>
            <th scope="col">{t.panel.feature}</th>
            <th scope="col">{t.panel.window}</th>
            <th scope="col" class="numeric">
              {t.panel.value}
            </th>
            <th scope="col">{t.subscriber.rulesOfFeature}</th>
          </tr>
        </thead>
        <tbody>
          {known.map((feature) => (
            <tr key={featureKey(feature)}>
              <th scope="row">
                <FeatureName ruleId={feature.ruleIds[0] ?? ''} feature={feature.feature} />
                {feature.keyType !== 'subscriber' && (
                  <span class="under">
                    {keyTypeName(feature.keyType)} <span class="number">{feature.keyValue}</span>
                  </span>
                )}
              </th>
              <td>{windowText(feature.window)}</td>
              <td class="numeric strong">{valueText(feature.feature, feature.value, feature.unit)}</td>
              <td>
                {feature.ruleIds.map((ruleId) => (
                  <span key={ruleId} class="rule-id" title={ruleId}>
                    {ruleTitle(ruleId) ?? <code>{ruleId}</code>}
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
