/** The frame around every page: navigation, connection state, language, theme, keyboard help. */
import { effect } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { DESKS } from '../alerts/alert.ts';
import { ConnectionState, StaleBanner } from './connection-state.tsx';
import { DeadLettersPage } from './dead-letters-page.tsx';
import { DeskPage } from './desk-page.tsx';
import { Brand, Icon } from './icons.tsx';
import { liveDesks } from './live-alerts.ts';
import { chooseLocale, format, locale, messages } from './locale.ts';
import { formatPlace, go, LOCALES, NO_OPENED, type Place, place } from './location.ts';
import { OperationsPage } from './operations-page.tsx';
import { ShortcutsDialog, shortcutsShown } from './shortcuts.tsx';
import { chooseTheme, THEMES, theme } from './theme.ts';

effect(() => {
  const { nav, pageTitle } = messages.value;
  const { page, desk } = place.value;
  document.title = pageTitle(nav[page === 'desk' ? desk : page]);
});

export function App() {
  const { page, desk } = place.value;
  const t = messages.value;
  const main = useRef<HTMLElement>(null);
  return (
    <div class="app">
      <button type="button" class="skip-link" onClick={() => main.current?.focus()}>
        {t.skipToContent}
      </button>
      <header class="bar">
        <div class="brand">
          <Brand />
          <span>{t.product}</span>
        </div>
        <nav aria-label={t.nav.label}>
          <ul>
            {DESKS.map((name) => (
              <li key={name}>
                <PageLink
                  target={{ page: 'desk', desk: name }}
                  current={page === 'desk' && desk === name}
                  label={t.nav[name]}
                />
              </li>
            ))}
            <li class="apart">
              <PageLink target={{ page: 'deadletters' }} current={page === 'deadletters'} label={t.nav.deadletters} />
            </li>
            <li>
              <PageLink target={{ page: 'operations' }} current={page === 'operations'} label={t.nav.operations} />
            </li>
          </ul>
        </nav>
        <div class="bar-tools">
          <ConnectionState />
          <LanguageChoice />
          <ThemeChoice />
          <button
            type="button"
            class="icon-button"
            aria-label={t.toolbar.help}
            title={t.toolbar.help}
            onClick={() => {
              shortcutsShown.value = true;
            }}
          >
            <Icon name="help" />
          </button>
        </div>
      </header>
      <StaleBanner />
      <main id="main" ref={main} tabIndex={-1}>
        {page === 'desk' && <DeskPage key={desk} desk={desk} />}
        {page === 'deadletters' && <DeadLettersPage />}
        {page === 'operations' && <OperationsPage />}
      </main>
      <ShortcutsDialog />
    </div>
  );
}

/** A real link, so that it opens in a tab of its own as well; within the page nothing is loaded anew. */
function PageLink({ target, current, label }: { target: Partial<Place>; current: boolean; label: string }) {
  const destination = { ...place.value, ...NO_OPENED, ...target };
  const critical = target.desk === undefined ? 0 : criticalFiring(target.desk);
  const spoken = messages.value.nav.criticalFiring(format.value.number(critical));
  return (
    <a
      href={formatPlace(destination)}
      aria-current={current ? 'page' : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(destination);
      }}
    >
      {label}
      {critical > 0 && (
        <span class="badge" title={spoken}>
          <span aria-hidden="true">{format.value.number(critical)}</span>
          <span class="visually-hidden">{spoken}</span>
        </span>
      )}
    </a>
  );
}

function criticalFiring(desk: (typeof DESKS)[number]): number {
  liveDesks[desk].version.value;
  return liveDesks[desk].queue.counts().criticalFiring;
}

function LanguageChoice() {
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

function ThemeChoice() {
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
