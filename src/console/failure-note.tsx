import { messages } from './locale.ts';

/** That something could not be read, in the place where it would stand, and the way to try again; nothing where nothing failed. */
export function FailureNote(props: { failure: string; say?(failure: string): string; onRetry?(): void }) {
  const { failure, say, onRetry } = props;
  if (failure === '') return null;
  return (
    <p class="note" role="alert">
      {say === undefined ? failure : say(failure)}{' '}
      {onRetry !== undefined && (
        <button type="button" class="button" onClick={onRetry}>
          {messages.value.connection.retryNow}
        </button>
      )}
    </p>
  );
}
