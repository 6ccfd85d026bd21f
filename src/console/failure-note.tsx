/** That something could not be read, in the place where it would stand; nothing where nothing failed. */
export function FailureNote({ failure, say }: { failure: string; say?(failure: string): string }) {
  if (failure === '') return null;
  return (
    <p class="note" role="alert">
      {say === undefined ? failure : say(failure)}
    </p>
  );
}
