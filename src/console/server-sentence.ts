/** Sentences of the server in the language of the page: what translates them is loaded by who reads Chinese. */
import { effect, signal } from '@preact/signals';
import { translateSentences } from './api.ts';
import { locale } from './locale.ts';

/** As the server said it, until the translation is there. */
export const serverSentence = signal<(sentence: string) => string>((sentence) => sentence);

effect(() => translateSentences(serverSentence.value));
effect(() => {
  if (locale.value === 'en') serverSentence.value = (sentence) => sentence;
  else
    void import('./server-sentences.ts').then(({ inChinese }) => {
      if (locale.peek() !== 'en') serverSentence.value = inChinese;
    });
});
