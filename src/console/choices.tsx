/** The choice of language and of light or dark, in the bar and on the page before it. */
import { Icon } from './icons.tsx';
import { chooseLocale, locale, messages } from './locale.ts';
import { LOCALES } from './location.ts';
import { chooseTheme, THEMES, theme } from './theme.ts';

export function LanguageChoice() {
  return (
    <fieldset class="segments">
      <legend class="visually-hidden">{messages.value.toolbar.languageLabel}</legend>
      {LOCALES.map((name) => (
        <button
          key={name}
          type="button"
          lang={name}
          aria-pressed={locale.value === name}
          onClick={() => chooseLocale(name)}
        >
          {name === 'en' ? 'EN' : '中文'}
        </button>
      ))}
    </fieldset>
  );
}

export function ThemeChoice() {
  const t = messages.value.toolbar;
  const choices = {
    system: { icon: 'system', label: t.themeSystem },
    light: { icon: 'sun', label: t.themeLight },
    dark: { icon: 'moon', label: t.themeDark },
  } as const;
  return (
    <fieldset class="segments">
      <legend class="visually-hidden">{t.theme}</legend>
      {THEMES.map((name) => (
        <button
          key={name}
          type="button"
          aria-label={choices[name].label}
          title={choices[name].label}
          aria-pressed={theme.value === name}
          onClick={() => chooseTheme(name)}
        >
          <Icon name={choices[name].icon} />
        </button>
      ))}
    </fieldset>
  );
}
