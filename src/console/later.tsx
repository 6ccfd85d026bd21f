/** What few people open is loaded when one does, so that the first load stays small; what nobody reads first is drawn last. */
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** A browser that is always busy draws it after this long all the same. */
const IDLE_WAIT_MS = 200;

export function later<Props extends object = object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  return function Later(props: Props) {
    const [Part, setPart] = useState<ComponentType<Props>>();
    useEffect(() => {
      void load().then((part) => setPart(() => part));
    }, []);
    return Part === undefined ? null : <Part {...props} />;
  };
}

/** False until what was drawn first is on the screen and the browser has time for more. */
export function useIdle(): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    // Safari has no such callback.
    if (typeof requestIdleCallback !== 'function') {
      const timer = setTimeout(() => setIdle(true), IDLE_WAIT_MS);
      return () => clearTimeout(timer);
    }
    const asked = requestIdleCallback(() => setIdle(true), { timeout: IDLE_WAIT_MS });
    return () => cancelIdleCallback(asked);
  }, []);
  return idle;
}
