/** Latin words on a Chinese page: what `npm run screenshots` and the tests look for, so that nothing stays untranslated unseen. */
import type { Page as Tab } from 'playwright-core';

/** Names that Chinese texts of the field keep, units, and what is called so everywhere. */
const LATIN_IN_CHINESE: ReadonlySet<string> = new Set(
  (
    'Ringfence EN NATS WebSocket HTTP API CSV JSON YAML UTF RFC MessagePack Unix OIDC ID GMT UTC ' +
    'IMSI IMEI SIM SMS VIP PLMN IPRN PBX CLI SDR AIT Wangiri Box Wi Fi RFM AUC Brier ms kB MB GB TB km'
  ).split(' '),
);

/**
 * Words of a text that are neither Chinese nor in the list. What is in quotes is something to type or to look for, eight hexadecimal
 * digits name a rule set, and two capitals are a country (ISO 3166).
 */
export const latinWords = (text: string): string[] =>
  [...text.replace(/“[^”]*”|\b[0-9a-f]{8}\b/g, '').matchAll(/[A-Za-z]{2,}/g)]
    .map(([word]) => word)
    .filter((word) => !LATIN_IN_CHINESE.has(word) && !/^[A-Z]{2}$/.test(word));

/**
 * Every text on the page with such a word in it, where it is not marked as something else than a text of the console: an identifier
 * (`code`, `.number`), a key, what a person or the operator's data says (`bdi`, `.who`, `.said`, `.diff`), or English on purpose
 * (`lang`).
 */
export async function latinTextsOn(tab: Tab): Promise<string[]> {
  const texts = (await tab.evaluate(`(() => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (element.closest('code, kbd, pre, .number, bdi, .who, .said, .diff, [lang=en], script, noscript, style, textarea, datalist') === null) found.push(node.data.trim());
    }
    for (const element of document.querySelectorAll('[aria-label], [placeholder]'))
      for (const name of ['aria-label', 'placeholder'])
        if (element.closest('[lang=en]') === null) found.push(element.getAttribute(name) ?? '');
    return [...new Set(found)];
  })()`)) as string[];
  return texts.filter((text) => latinWords(text).length > 0);
}
