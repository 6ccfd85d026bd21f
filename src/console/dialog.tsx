import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { Icon } from './icons.tsx';

/** Closes the dialog that the button stands in. */
const closeAround = (event: { currentTarget: HTMLButtonElement }): void =>
  event.currentTarget.closest('dialog')?.close();

/** A question or an answer over the page, open from the moment at which it is there. */
export function Dialog(props: {
  /** Of the heading. */
  id: string;
  title: string;
  wide?: boolean;
  /** Label of the cross beside the heading; without it there is none, and a button below closes. */
  dismiss?: string;
  onClose(): void;
  children: ComponentChildren;
}) {
  const { id, title, wide = false, dismiss, onClose, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const isGone = useRef(false);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    // The browser would begin at the cross, and the first key pressed there is one that closes.
    shown.querySelector<HTMLElement>('form :is(input, select, textarea):enabled')?.focus();
    return () => {
      // Taken off the page while open it would keep the focus, and leave it nowhere.
      isGone.current = true;
      shown.close();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? 'case-dialog wide' : 'case-dialog'}
      aria-labelledby={id}
      onClose={() => isGone.current || onClose()}
    >
      <header>
        <h2 id={id}>{title}</h2>
        {dismiss !== undefined && (
          <button type="button" class="icon-button" aria-label={dismiss} onClick={closeAround}>
            <Icon name="close" />
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

/** The button among those of a dialog that ends it without doing anything. */
export function CloseButton({ label, primary = false }: { label: string; primary?: boolean }) {
  return (
    <button type="button" class={primary ? 'button primary' : 'button'} onClick={closeAround}>
      {label}
    </button>
  );
}
