/** Copies a text, where the page may. */
import { useEffect, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { messages } from './locale.ts';

const COPIED_FOR_MS = 1_500;

export function CopyButton({ text }: { text: string }) {
  const t = messages.value.panel;
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_FOR_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  // Pages that are not served over TLS (and not from this machine) have no clipboard.
  if (navigator.clipboard === undefined) return null;
  const label = copied ? t.copied : t.copy;
  return (
    <button
      type="button"
      class="copy"
      aria-label={label}
      title={label}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}
