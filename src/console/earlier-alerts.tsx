/** Alerts of a subscriber whose condition holds no more: what was the matter with it before. Read when somebody asks. */
import { useEffect, useState } from 'preact/hooks';
import type { AlertData } from '../alerts/alert.ts';
import { completeAlert } from './alert-intake.ts';
import { ApiError, getAlertsOf } from './api.ts';
import { SeverityIcon } from './icons.tsx';
import { format, locale, messages } from './locale.ts';
import { formatPlace, NO_OPENED, place } from './location.ts';

/** @param subscriber a number, or the reference of one */
export function EarlierAlerts({ subscriber }: { subscriber: string }) {
  const t = messages.value;
  const [open, setOpen] = useState(false);
  return (
    <details class="earlier-alerts" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t.subscriber.earlierAlerts}</summary>
      {open && <Alerts subscriber={subscriber} />}
    </details>
  );
}

function Alerts({ subscriber }: { subscriber: string }) {
  const t = messages.value;
  const [found, setFound] = useState<{ alerts: readonly AlertData[]; isAll: boolean }>();
  const [failure, setFailure] = useState('');
  useEffect(() => {
    const stopped = new AbortController();
    getAlertsOf(subscriber, 'resolved', stopped.signal).then(
      ({ alerts, next }) => {
        setFound({ alerts: alerts.map(completeAlert), isAll: next === null });
        setFailure('');
      },
      (error: unknown) => {
        if (stopped.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setFailure(error.message);
      },
    );
    return () => stopped.abort();
  }, [subscriber]);
  if (failure !== '') {
    return (
      <p class="note" role="alert">
        {t.subscriber.failed(failure)}
      </p>
    );
  }
  if (found === undefined) return <p class="note">{t.subscriber.loading}</p>;
  if (found.alerts.length === 0) return <p class="note">{t.subscriber.noEarlierAlerts}</p>;
  return (
    <>
      <ul class="open-alerts">
        {found.alerts.map(({ alertId, desk, severity, eventTime, title, reason }) => (
          <li key={alertId}>
            <span class={`severity ${severity}`}>
              <SeverityIcon severity={severity} />
              {t.severity[severity]}
            </span>
            <a
              href={formatPlace({ ...place.value, ...NO_OPENED, page: 'desk', desk, alertId })}
              title={reason[locale.value]}
            >
              {title[locale.value]}
            </a>
            <span class="muted">{t.nav[desk]}</span>
            <time dateTime={new Date(eventTime).toISOString()}>{format.value.time(eventTime)}</time>
          </li>
        ))}
      </ul>
      {!found.isAll && <p class="note">{t.subscriber.newestEarlierAlerts(format.value.number(found.alerts.length))}</p>}
    </>
  );
}
