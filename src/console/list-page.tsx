/** What every page with a list and a panel beside it has in common: search, stepping, and the panel's title and focus. */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { messages } from './locale.ts';

/** Whoever opens a row with the keyboard wants to read it: the panel takes the focus, and gives it back on closing. */
export function usePanelFocus(panelOpen: boolean): { current: HTMLElement | null } {
  const panel = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    if (panelOpen && document.activeElement?.matches('tr.active a, .open-subscriber')) panel.current?.focus();
  }, [panelOpen]);
  return panel;
}

/** The buttons that do what the keys do. */
export function StepButtons(props: { previous: string; next: string; onMove(step: number): void }) {
  const { previous, next, onMove } = props;
  return (
    <div class="button-group">
      <button type="button" class="icon-button" aria-label={previous} title={previous} onClick={() => onMove(-1)}>
        <Icon name="up" />
      </button>
      <button type="button" class="icon-button" aria-label={next} title={next} onClick={() => onMove(1)}>
        <Icon name="down" />
      </button>
    </div>
  );
}

/** Beneath a list: how much of it is shown, what went wrong while it was read, and what else belongs there. */
export function ListFooter(props: { shown: string; failed: string; children?: ComponentChildren }) {
  const { shown, failed, children } = props;
  return (
    <footer class="queue-footer">
      <span>{shown}</span>
      {failed !== '' && (
        <span class="alarming" role="alert">
          {failed}
        </span>
      )}
      {children}
    </footer>
  );
}

/** The way back to the whole list, beside how much of it is shown. */
export function ClearFilters({ onClear }: { onClear(): void }) {
  return (
    <button type="button" class="button" onClick={onClear}>
      {messages.value.queue.clearFilters}
    </button>
  );
}

/** One of several in a toolbar or a panel, as `[value, text]`; a third word is how the option looks. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [value: T, text: string, look?: string])[];
  onChoose(value: T): void;
}) {
  const { label, value, options, onChoose } = props;
  return (
    <select aria-label={label} value={value} onChange={(event) => onChoose(event.currentTarget.value as T)}>
      {options.map(([option, text, look]) => (
        <option key={option} value={option} class={look}>
          {text}
        </option>
      ))}
    </select>
  );
}

export interface SearchFieldProps {
  field: { current: HTMLInputElement | null };
  label: string;
  placeholder: string;
  value: string;
  /** Asked with every letter, where looking costs nothing; else when the field is left. */
  whileTyping?: boolean;
  onSearch(text: string): void;
}

export function SearchField({ field, label, placeholder, value, whileTyping = false, onSearch }: SearchFieldProps) {
  const search = (event: { currentTarget: HTMLInputElement }): void => onSearch(event.currentTarget.value.trim());
  return (
    <div class="search">
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        autocomplete="off"
        spellcheck={false}
        maxLength={64}
        aria-label={label}
        placeholder={placeholder}
        value={value}
        {...(whileTyping ? { onInput: search } : { onChange: search })}
      />
    </div>
  );
}

/** What the key `/` does. */
export function goToSearch(field: { current: HTMLInputElement | null }, event: KeyboardEvent): void {
  event.preventDefault();
  field.current?.focus();
  field.current?.select();
}

/** Title of the panel beside a list, what stands above it, and the way to close it. */
export function PanelHeader(props: {
  id: string;
  look: string;
  title: string;
  close: string;
  onClose(): void;
  children?: ComponentChildren;
}) {
  return (
    <header class={`panel-header ${props.look}`}>
      <div class="panel-title">
        {props.children !== undefined && props.children !== false && <p class="panel-state">{props.children}</p>}
        <h2 id={props.id}>{props.title}</h2>
      </div>
      <button type="button" class="icon-button" aria-label={props.close} title={props.close} onClick={props.onClose}>
        <Icon name="close" />
      </button>
    </header>
  );
}
