/** The frame around every page: navigation, connection state, language, theme, keyboard help. */
import { effect } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { DESKS } from '../alerts/alert.ts';
import { giveName, nameIsGiven, typedName } from './case-work.ts';
import { CasesPage } from './cases-page.tsx';
import { LanguageChoice, ThemeChoice } from './choices.tsx';
import { ConnectionState, StaleBanner } from './connection-state.tsx';
import { DeskPage } from './desk-page.tsx';
import { Brand, Icon } from './icons.tsx';
import { later } from './later.tsx';
import { liveDesks } from './live-alerts.ts';
import { format, messages } from './locale.ts';
import { formatPlace, go, isDeskPage, NO_OPENED, type Place, place } from './location.ts';
import { OperationsPage } from './operations-page.tsx';
import { leave, may, ownDesks, session } from './session.ts';
import { ShortcutsDialog, shortcutsShown } from './shortcuts.tsx';

effect(() => {
  const { nav, pageTitle } = messages.value;
  const { page, desk } = place.value;
  document.title = pageTitle(nav[page === 'desk' || page === 'cases' || page === 'records' ? desk : page]);
});

const RecordsPage = later(async () => (await import('./records-page.tsx')).RecordsPage);
const ListsPage = later(async () => (await import('./lists-page.tsx')).ListsPage);
const RulesPage = later(async () => (await import('./rules-page.tsx')).RulesPage);
const DeadLettersPage = later(async () => (await import('./dead-letters-page.tsx')).DeadLettersPage);
const AuditPage = later(async () => (await import('./audit-page.tsx')).AuditPage);
const AdminPage = later(async () => (await import('./admin-page.tsx')).AdminPage);

export function App() {
  const { page, desk } = place.value;
  const t = messages.value;
  const main = useRef<HTMLElement>(null);
  /** Where nobody has to sign in, there is nobody to administer. */
  const isSignedIn = session.value?.signIn === 'required';
  const isNotOpen =
    (page === 'rules' && !may('listRules')) ||
    (page === 'lists' && !may('getListRows')) ||
    (page === 'deadletters' && !may('listDeadLetters')) ||
    (page === 'audit' && !may('listAudit')) ||
    (page === 'admin' && isSignedIn && !may('listUsers'));
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
            {ownDesks().map((name) => (
              <li key={name}>
                <PageLink
                  target={{ page: 'desk', desk: name }}
                  current={isDeskPage(place.value) && desk === name}
                  label={t.nav[name]}
                />
              </li>
            ))}
            {may('listRules') && (
              <li class="apart">
                <PageLink target={{ page: 'rules' }} current={page === 'rules'} label={t.nav.rules} />
              </li>
            )}
            {may('getListRows') && (
              <li>
                <PageLink target={{ page: 'lists' }} current={page === 'lists'} label={t.nav.lists} />
              </li>
            )}
            {may('listDeadLetters') && (
              <li>
                <PageLink target={{ page: 'deadletters' }} current={page === 'deadletters'} label={t.nav.deadletters} />
              </li>
            )}
            <li>
              <PageLink target={{ page: 'operations' }} current={page === 'operations'} label={t.nav.operations} />
            </li>
            {isSignedIn && may('listUsers') && (
              <li>
                <PageLink target={{ page: 'admin' }} current={page === 'admin'} label={t.nav.admin} />
              </li>
            )}
            {isSignedIn && may('listAudit') && (
              <li>
                <PageLink target={{ page: 'audit' }} current={page === 'audit'} label={t.nav.audit} />
              </li>
            )}
          </ul>
        </nav>
        <div class="bar-tools">
          {ownDesks().length > 0 && <ConnectionState />}
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
          <SignedIn />
          <WhoWorks />
        </div>
      </header>
      <StaleBanner />
      <main id="main" ref={main} tabIndex={-1}>
        {page === 'desk' && ownDesks().includes(desk) && <DeskPage key={desk} desk={desk} />}
        {page === 'cases' && ownDesks().includes(desk) && <CasesPage key={desk} desk={desk} />}
        {page === 'records' && ownDesks().includes(desk) && <RecordsPage key={desk} />}
        {isDeskPage(place.value) && !ownDesks().includes(desk) && <p class="note elsewhere">{t.nav.notYours}</p>}
        {page === 'rules' && may('listRules') && <RulesPage />}
        {page === 'lists' && may('getListRows') && <ListsPage />}
        {page === 'deadletters' && may('listDeadLetters') && <DeadLettersPage />}
        {page === 'audit' && may('listAudit') && <AuditPage />}
        {page === 'admin' && isSignedIn && may('listUsers') && <AdminPage />}
        {page === 'admin' && !isSignedIn && (
          <p class="note elsewhere">
            {t.nav.nobodyYet} <code>ringfence users add NAME --role admin</code>
          </p>
        )}
        {isNotOpen && <p class="note elsewhere">{t.nav.notOpen}</p>}
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

/** Where nobody has to sign in, people say who they are; what they do is written down under that name. */
function WhoWorks() {
  if (!nameIsGiven()) return null;
  const t = messages.value.signIn;
  return (
    <input
      class="my-name"
      autocomplete="username"
      maxLength={64}
      aria-label={t.yourName}
      placeholder={t.yourName}
      title={t.yourNameHint}
      value={typedName()}
      onInput={(event) => giveName(event.currentTarget.value)}
    />
  );
}

/** Who is signed in, and the way out; nothing where nobody has to be. */
function SignedIn() {
  const person = session.value?.person;
  if (!person) return null;
  const t = messages.value.signIn;
  return (
    <div class="signed-in">
      <span class="visually-hidden">{t.signedInAs}</span>
      <bdi class="person" title={person.name}>
        {person.name}
      </bdi>
      <button type="button" class="button" onClick={() => void leave()}>
        {t.signOut}
      </button>
    </div>
  );
}
