/** Saved views of the list of cases: one is chosen, kept under a name, for oneself or for the desk, or removed. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Desk } from '../alerts/alert.ts';
import { ApiError } from './api.ts';
import { type DeskSettings, deleteView, getDeskSettings, putDefaultView, putView } from './case-api.ts';
import { tellFailure, UNNAMED } from './case-work.ts';
import { CloseButton, Dialog } from './dialog.tsx';
import { messages } from './locale.ts';
import { go, place, readCaseFilters, writeCaseFilters } from './location.ts';
import { NameField } from './name-field.tsx';
import { may, session } from './session.ts';

/** The settings of a desk as they were read last; `set` where a change was answered. */
export function useDeskSettings(desk: Desk): { settings: DeskSettings | undefined; set(next: DeskSettings): void } {
  const [settings, set] = useState<DeskSettings>();
  useEffect(() => {
    const stopped = new AbortController();
    getDeskSettings(desk, stopped.signal).then(set, (error: unknown) => {
      if (!stopped.signal.aborted && !(error instanceof ApiError)) throw error;
    });
    return () => stopped.abort();
  }, [desk]);
  return { settings, set };
}

/**
 * Whoever comes to the list and asks for nothing gets what the desk has chosen for all. Once for each time that the page is opened:
 * who then chooses no view means it.
 */
export function useDefaultView(settings: DeskSettings | undefined): void {
  const decided = useRef(false);
  useEffect(() => {
    if (settings === undefined || decided.current) return;
    decided.current = true;
    const { cases, filters, viewId, caseId } = place.peek();
    const asksForSomething =
      viewId !== '' || caseId !== '' || filters.subscriber !== '' || Object.keys(writeCaseFilters(cases)).length > 0;
    const view = settings.views.find((one) => one.viewId === settings.defaultViewId);
    if (view === undefined || asksForSomething) return;
    go({ viewId: view.viewId, cases: readCaseFilters(view.filters) }, 'replace');
  }, [settings]);
}

export function CaseViews(props: {
  desk: Desk;
  settings: DeskSettings | undefined;
  onChanged(next: DeskSettings): void;
}) {
  const { desk, settings, onChanged } = props;
  const t = messages.value.views;
  const [saving, setSaving] = useState(false);
  const { cases, viewId } = place.value;
  const views = settings?.views ?? [];
  const chosen = views.find((view) => view.viewId === viewId);
  const isDefault = chosen !== undefined && chosen.viewId === settings?.defaultViewId;
  const me = session.value?.person?.name ?? UNNAMED;
  const mayChange =
    chosen !== undefined && (chosen.owner === me || session.value?.signIn === 'open' || may('putRouting'));
  const act = async (change: () => Promise<DeskSettings>): Promise<void> => {
    try {
      onChanged(await change());
    } catch (error) {
      tellFailure(error);
    }
  };
  return (
    <>
      <select
        aria-label={t.label}
        value={chosen === undefined ? '' : viewId}
        onChange={(event) => {
          const view = views.find((one) => one.viewId === event.currentTarget.value);
          go({ viewId: view?.viewId ?? '', cases: readCaseFilters(view?.filters ?? {}) });
        }}
      >
        <option value="">{t.none}</option>
        {[...views]
          .sort((a, b) => (a.name < b.name ? -1 : 1))
          .map((view) => (
            <option key={view.viewId} value={view.viewId}>
              {view.viewId === settings?.defaultViewId
                ? t.isDefault(view.name)
                : view.shared
                  ? t.shared(view.name)
                  : view.name}
            </option>
          ))}
      </select>
      {may('putView') && (
        <button type="button" class="button" onClick={() => setSaving(true)}>
          {t.save}
        </button>
      )}
      {chosen?.shared && may('putDefaultView') && (
        <button
          type="button"
          class="button"
          onClick={() => void act(() => putDefaultView(desk, isDefault ? null : chosen.viewId))}
        >
          {isDefault ? t.endDefault : t.makeDefault}
        </button>
      )}
      {mayChange && (
        <button
          type="button"
          class="button"
          onClick={() => {
            go({ viewId: '' }, 'replace');
            void act(() => deleteView(desk, chosen.viewId));
          }}
        >
          {t.remove}
        </button>
      )}
      {saving && (
        <SaveDialog
          known={mayChange ? chosen : undefined}
          onClose={() => setSaving(false)}
          onSave={(name, shared) => {
            setSaving(false);
            const id = mayChange && chosen.name === name ? chosen.viewId : crypto.randomUUID();
            void act(async () => {
              const next = await putView(desk, id, { name, shared, filters: writeCaseFilters(cases) });
              go({ viewId: id }, 'replace');
              return next;
            });
          }}
        />
      )}
    </>
  );
}

function SaveDialog(props: {
  known: { name: string; shared: boolean } | undefined;
  onClose(): void;
  onSave(name: string, shared: boolean): void;
}) {
  const t = messages.value.views;
  const [name, setName] = useState(props.known?.name ?? '');
  const [shared, setShared] = useState(props.known?.shared ?? false);
  return (
    <Dialog id="view-heading" title={t.heading} onClose={props.onClose}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== '') props.onSave(name.trim(), shared);
        }}
      >
        <NameField id="view-name" label={t.name} value={name} onInput={setName} />
        <label class="check">
          <input type="checkbox" checked={shared} onChange={(event) => setShared(event.currentTarget.checked)} />
          {t.forDesk}
        </label>
        <div class="button-group">
          <CloseButton label={messages.value.cases.cancel} />
          <button type="submit" class="button primary" disabled={name.trim() === ''}>
            {t.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
