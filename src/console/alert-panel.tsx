/** Why an alert fired, in full: sentence, values against thresholds, origin; then the subscriber behind it. */
import { useState } from 'preact/hooks';
import type { AlertData, Evidence } from '../alerts/alert.ts';
import { completeAlert } from './alert-intake.ts';
import { Score } from './alert-table.tsx';
import { ApiError, revealAlert } from './api.ts';
import { CopyButton } from './copy-button.tsx';
import { Fact } from './fact.tsx';
import { FeatureName, valueText, windowText } from './feature-name.tsx';
import { SeverityIcon, StatusIcon } from './icons.tsx';
import { later, useIdle } from './later.tsx';
import { PanelHeader } from './list-page.tsx';
import { format, locale, messages } from './locale.ts';
import { formatPlace, NO_OPENED, place } from './location.ts';
import { may } from './session.ts';
import { actionName, enablerName, fraudTypeName, keyTypeName, stageName, tierName } from './slugs.ts';
import { SubscriberSection } from './subscriber-section.tsx';
import { useSubscriber } from './subscriber-source.ts';

const AlertRuleNotes = later(async () => (await import('./alert-rule-notes.tsx')).AlertRuleNotes);
const ContributingRecords = later(async () => (await import('./contributing-records.tsx')).ContributingRecords);

export interface AlertPanelProps {
  /** Absent while it is being loaded, and where a subscriber alone is open. */
  alert: AlertData | undefined;
  /** The address names an alert that this desk does not have. */
  missing: boolean;
  /** A subscriber opened without an alert; empty: that of the alert. */
  msisdn: string;
  panelRef: { current: HTMLElement | null };
  onClose(): void;
}

export function AlertPanel({ alert, missing, msisdn, panelRef, onClose }: AlertPanelProps) {
  const t = messages.value;
  const subscriber = useSubscriber(msisdn || alert?.subscriberRef || alert?.servedMsisdn || '', alert?.revision ?? 0);
  const [revealed, setRevealed] = useState<AlertData>();
  // What the alert says is there at once; all around it follows when that is on the screen.
  const idle = useIdle();
  // A later revision is masked again: what was revealed is this one.
  const shown = revealed?.alertId === alert?.alertId && revealed?.revision === alert?.revision ? revealed : alert;
  const heading =
    alert === undefined ? (msisdn === '' ? t.panel.alert : t.subscriber.heading) : alert.title[locale.value];
  return (
    <aside class="panel" ref={panelRef} tabIndex={-1} aria-labelledby="panel-heading">
      <PanelHeader
        id="panel-heading"
        look={alert?.severity ?? ''}
        title={heading}
        close={t.panel.close}
        onClose={onClose}
      >
        {alert !== undefined && (
          <>
            <span class={`severity ${alert.severity}`}>
              <SeverityIcon severity={alert.severity} />
              {t.severity[alert.severity]}
            </span>
            <span class={`status ${alert.status}`}>
              <StatusIcon status={alert.status} />
              {t.status[alert.status]}
            </span>
            <time dateTime={new Date(alert.eventTime).toISOString()}>{format.value.dateTime(alert.eventTime)}</time>
          </>
        )}
      </PanelHeader>
      <div class="panel-body">
        {shown !== undefined && <AlertDetails alert={shown} />}
        {idle && shown !== undefined && <AlertFacts alert={shown} />}
        {idle && alert?.subscriberRef !== undefined && may('revealAlert') && (
          <RevealForm key={alert.alertId} alert={alert} isShown={shown === revealed} onRevealed={setRevealed} />
        )}
        {idle && alert !== undefined && may('getRule') && (
          <AlertRuleNotes ruleId={alert.ruleId} ruleVersion={alert.ruleVersion} />
        )}
        {idle && alert !== undefined && may('listAlertRecords') && (
          <ContributingRecords key={alert.alertId} alertId={alert.alertId} />
        )}
        {alert === undefined && missing && <p class="note">{t.panel.gone}</p>}
        {alert === undefined && !missing && msisdn === '' && <p class="note">{t.queue.loading}</p>}
        {idle && (alert !== undefined || msisdn !== '') && (
          <SubscriberSection
            subscriber={subscriber}
            evidence={alert?.evidence ?? []}
            openAlertId={alert?.alertId ?? ''}
          />
        )}
      </div>
    </aside>
  );
}

/** Whole numbers for who gives a reason; both are written down. */
function RevealForm(props: { alert: AlertData; isShown: boolean; onRevealed(alert: AlertData): void }) {
  const { alert, isShown, onRevealed } = props;
  const t = messages.value.reveal;
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState('');
  if (isShown) {
    return (
      <p class="note" role="status">
        {t.shown}
      </p>
    );
  }
  if (!open) {
    return (
      <button type="button" class="button reveal" onClick={() => setOpen(true)}>
        {t.open}
      </button>
    );
  }
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const reason = String(new FormData(event.currentTarget as HTMLFormElement).get('reason'));
    try {
      onRevealed(completeAlert(await revealAlert(alert.alertId, reason)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(t.failed(error.message));
    }
  };
  return (
    <form class="reveal" onSubmit={(event) => void submit(event)}>
      <label>
        {t.reason}
        <input
          name="reason"
          required
          minLength={3}
          maxLength={500}
          autocomplete="off"
          ref={(input) => input?.focus()}
        />
      </label>
      <button type="submit" class="button">
        {t.submit}
      </button>
      <button type="button" class="button" onClick={() => setOpen(false)}>
        {t.cancel}
      </button>
      {problem !== '' && <p role="alert">{problem}</p>}
    </form>
  );
}

function AlertDetails({ alert }: { alert: AlertData }) {
  const t = messages.value.panel;
  return (
    <>
      <p class="reason-sentence">{alert.reason[locale.value]}</p>

      <CaseLink alert={alert} />

      <section aria-labelledby="evidence-heading">
        <h3 id="evidence-heading">{t.evidence}</h3>
        <EvidenceTable alert={alert} />
      </section>
    </>
  );
}

/** What the rule suggests, and where the alert comes from. */
function AlertFacts({ alert }: { alert: AlertData }) {
  const t = messages.value.panel;
  const f = format.value;
  const { value } = alert;
  return (
    <>
      {alert.suggestedActions.length > 0 && (
        <section aria-labelledby="actions-heading">
          <h3 id="actions-heading">{t.actions}</h3>
          <ul class="actions">
            {alert.suggestedActions.map((action) => (
              <li key={action}>{actionName(action)}</li>
            ))}
          </ul>
        </section>
      )}

      <dl class="facts">
        <Fact name={keyTypeName(alert.key.type)}>
          <span class="number">{alert.key.value}</span>
          <CopyButton text={alert.key.value} />
        </Fact>
        <Fact name={t.score}>
          <Score score={alert.score} />
        </Fact>
        <Fact name={t.rule}>
          <RuleLink ruleId={alert.ruleId} /> <span class="muted">{t.ruleVersion(f.number(alert.ruleVersion))}</span>
        </Fact>
        <Fact name={t.catalogue}>{alert.catalogue}</Fact>
        {alert.fraudType !== undefined && <Fact name={t.fraudType}>{fraudTypeName(alert.fraudType)}</Fact>}
        {alert.enabler !== undefined && <Fact name={t.enabler}>{enablerName(alert.enabler)}</Fact>}
        {value?.tier !== undefined && <Fact name={t.tier}>{tierName(value.tier)}</Fact>}
        {value?.lifecycleStage !== undefined && <Fact name={t.lifecycleStage}>{stageName(value.lifecycleStage)}</Fact>}
        {value?.churnProbability !== undefined && (
          <Fact name={t.churnProbability}>{f.percent(value.churnProbability)}</Fact>
        )}
        {value?.expectedSaveValue !== undefined && (
          <Fact name={t.expectedSaveValue}>{f.value(value.expectedSaveValue, 'currency')}</Fact>
        )}
        {value?.exposure !== undefined && <Fact name={t.exposure}>{f.value(value.exposure, 'currency')}</Fact>}
        <Fact name={t.trigger}>
          <code>{alert.triggerRecordId}</code>
        </Fact>
        <Fact name={t.observedSince}>{f.dateTime(alert.observedSince)}</Fact>
        <Fact name={t.revision}>{f.number(alert.revision)}</Fact>
        <Fact name={t.alertId}>
          <span class="whole-id">
            <code>{alert.alertId}</code>
            <CopyButton text={alert.alertId} />
          </span>
        </Fact>
      </dl>
    </>
  );
}

/** The rule with its thresholds, for who may see rules. */
function RuleLink({ ruleId }: { ruleId: string }) {
  if (!may('listRules')) return <code>{ruleId}</code>;
  return (
    <a href={formatPlace({ ...place.value, ...NO_OPENED, page: 'rules', ruleId })}>
      <code>{ruleId}</code>
    </a>
  );
}

/** Where the alert is worked on: the page of cases finds the case that holds it, and opens it. */
function CaseLink({ alert: { alertId } }: { alert: AlertData }) {
  if (!may('listCases')) return null;
  const target = { ...place.value, ...NO_OPENED, page: 'cases', alertId } as const;
  return (
    <p>
      <a class="button" href={formatPlace(target)}>
        {messages.value.panel.toCases}
      </a>
    </p>
  );
}

function EvidenceTable({ alert: { ruleId, evidence } }: { alert: AlertData }) {
  const t = messages.value.panel;
  return (
    <table class="data evidence">
      <thead>
        <tr>
          <th scope="col">{t.feature}</th>
          <th scope="col">{t.window}</th>
          <th scope="col" class="numeric">
            {t.value}
          </th>
          <th scope="col" class="numeric">
            {t.threshold}
          </th>
          <th scope="col" class="c-bar">
            <span class="visually-hidden">{t.comparison}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {evidence.map((item) => (
          <tr key={`${item.feature} ${item.window}`}>
            <th scope="row">
              <FeatureName ruleId={ruleId} feature={item.feature} />
            </th>
            <td>{windowText(item.window)}</td>
            <td class={typeof item.value === 'string' ? 'numeric words strong' : 'numeric strong'}>
              {valueText(item.feature, item.value, item.unit)}
            </td>
            <td class={typeof item.threshold === 'string' ? 'numeric words' : 'numeric'}>
              {item.threshold === null ? (
                <span class="muted">{t.noThreshold}</span>
              ) : (
                valueText(item.feature, item.threshold, item.unit)
              )}
            </td>
            <td class="c-bar">
              <ThresholdBar value={item.value} threshold={item.threshold} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The value as a bar with the threshold as a tick; the longer of the two takes the whole width. */
function ThresholdBar({ value, threshold }: Pick<Evidence, 'value' | 'threshold'>) {
  if (typeof value !== 'number' || typeof threshold !== 'number' || threshold === 0) return null;
  const scale = 96 / Math.max(Math.abs(value), Math.abs(threshold));
  const ratio = messages.value.panel.ratioOfThreshold(format.value.percent(value / threshold));
  const tickAt = Math.abs(threshold) * scale;
  return (
    <svg class="threshold-bar" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label={ratio}>
      <title>{ratio}</title>
      <rect class="track" y="3" width="100" height="6" />
      <rect class="fill" y="3" width={Math.abs(value) * scale} height="6" />
      <rect class="tick" x={tickAt} y="0" width="1.6" height="12" />
    </svg>
  );
}
