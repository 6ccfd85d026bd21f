/** What few people open is loaded when one does, so that the first load stays small. */
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';

export function later<Props extends object = object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  return function Later(props: Props) {
    const [Part, setPart] = useState<ComponentType<Props>>();
    useEffect(() => {
      void load().then((part) => setPart(() => part));
    }, []);
    return Part === undefined ? null : <Part {...props} />;
  };
}
