/** The subscriber of the open panel, asked for again every few seconds while it is open. */
import { useEffect, useState } from 'preact/hooks';
import type { SubscriberView } from '../http/schemas.ts';
import { ApiError, getAlertsOf, getSubscriber } from './api.ts';
import { may } from './session.ts';

/** Windows move with every record; a person reading them is served well by a new figure every five seconds. */
const REFRESH_MS = 5_000;

export interface SubscriberState {
  msisdn: string;
  /** Undefined until the first answer. */
  view: SubscriberView | undefined;
  /** No usage of the number is known. */
  unknown: boolean;
  /** Why the last attempt failed; empty where it did not. */
  error: string;
}

/** `revision` changes when the open alert has: the windows then have too, and are read at once. */
export function useSubscriber(msisdn: string, revision: number): SubscriberState {
  const nothing = { msisdn, view: undefined, unknown: false, error: '' };
  const [state, setState] = useState<SubscriberState>(nothing);
  useEffect(() => {
    if (msisdn === '') return;
    const asked = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refresh = async (): Promise<void> => {
      try {
        const [known, firing] = await Promise.all([
          getSubscriber(msisdn, asked.signal),
          may('listAlerts') ? getAlertsOf(msisdn, 'firing', asked.signal) : { alerts: [] },
        ]);
        // The engine looks where the subscriber's own windows are; an alert about a destination or a handset of theirs is elsewhere.
        const others = firing.alerts
          .filter(({ alertId }) => known.openAlerts.every((open) => open.alertId !== alertId))
          .map(({ alertId, ruleId, severity, desk, eventTime }) => ({
            ...{ alertId, ruleId, severity, desk },
            since: eventTime,
          }));
        const view = { ...known, openAlerts: [...known.openAlerts, ...others] };
        setState({ msisdn, view, unknown: false, error: '' });
      } catch (error) {
        if (asked.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 404) setState({ msisdn, view: undefined, unknown: true, error: '' });
        // The last figures stay on the screen beside the message: they are better than none.
        else
          setState((last) => ({ ...(last.msisdn === msisdn ? last : nothing), unknown: false, error: error.message }));
      }
      timer = setTimeout(() => void refresh(), REFRESH_MS);
    };
    void refresh();
    return () => {
      asked.abort();
      clearTimeout(timer);
    };
  }, [msisdn, revision]);
  return state.msisdn === msisdn ? state : nothing;
}
