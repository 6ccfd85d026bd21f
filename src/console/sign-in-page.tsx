/** What stands before the desks: name and password, the identity provider, and the change of a one-time password. */
import { useState } from 'preact/hooks';
import type { SessionView } from '../http/schemas.ts';
import { ApiError, changePassword, signIn } from './api.ts';
import { LanguageChoice, ThemeChoice } from './choices.tsx';
import { Brand } from './icons.tsx';
import { messages } from './locale.ts';
import { leave } from './session.ts';

export function SignInPage({ session }: { session: SessionView }) {
  const t = messages.value;
  return (
    <div class="sign-in-page">
      <main class="sign-in">
        <div class="brand">
          <Brand />
          <span>{t.product}</span>
        </div>
        {session.person?.mustChangePassword ? (
          <PasswordForm name={session.person.name} />
        ) : (
          <SignInForm providers={session.providers} />
        )}
        <div class="sign-in-tools">
          <LanguageChoice />
          <ThemeChoice />
        </div>
      </main>
    </div>
  );
}

/** Runs what a form does, one at a time, and keeps what went wrong. */
function useSubmit(act: (form: FormData) => Promise<string | undefined>) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    setBusy(true);
    setProblem('');
    try {
      const found = await act(new FormData(form));
      // What is right loads the page anew; until then nothing more can be pressed.
      if (found === undefined) return;
      setProblem(found);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const t = messages.peek().signIn;
      setProblem(error.status === 401 ? t.wrong : error.status === 429 ? t.tooMany : t.failed(error.message));
    }
    setBusy(false);
    form.querySelector<HTMLInputElement>('input[type=password]')?.select();
  };
  return { busy, problem, submit };
}

function SignInForm({ providers }: { providers: SessionView['providers'] }) {
  const t = messages.value.signIn;
  const { busy, problem, submit } = useSubmit(async (form) => {
    await signIn(String(form.get('name')), String(form.get('password')));
    location.reload();
    return undefined;
  });
  // The identity provider sends people back with a word about what went wrong; it is one of ours or nothing.
  const returned = new URLSearchParams(location.search).get('sign-in');
  const refused = returned === 'refused' ? t.providerRefused : returned === 'failed' ? t.providerFailed : '';
  return (
    <>
      <h1>{t.heading}</h1>
      <Problem text={problem || refused} />
      {providers.oidc !== null && (
        <a class="button primary" href="v1/session/oidc">
          {t.withProvider(providers.oidc)}
        </a>
      )}
      {providers.password && (
        <form onSubmit={(event) => void submit(event)}>
          <label>
            {t.name}
            <input
              name="name"
              autocomplete="username"
              required
              maxLength={64}
              autocapitalize="none"
              spellcheck={false}
            />
          </label>
          <label>
            {t.password}
            <input name="password" type="password" autocomplete="current-password" required maxLength={256} />
          </label>
          <button type="submit" class={providers.oidc === null ? 'button primary' : 'button'} disabled={busy}>
            {busy ? t.busy : t.submit}
          </button>
        </form>
      )}
    </>
  );
}

function PasswordForm({ name }: { name: string }) {
  const t = messages.value.signIn;
  const { busy, problem, submit } = useSubmit(async (form) => {
    const next = String(form.get('next'));
    if (next !== String(form.get('again'))) return t.notTheSame;
    try {
      await changePassword(String(form.get('current')), next);
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) return t.presentWrong;
      if (error instanceof ApiError && error.status === 422) return t.passwordRule;
      throw error;
    }
    location.reload();
    return undefined;
  });
  return (
    <>
      <h1>{t.changeHeading}</h1>
      <p class="note">{t.changeWhy}</p>
      <Problem text={problem} />
      <form onSubmit={(event) => void submit(event)}>
        <input
          class="visually-hidden"
          name="name"
          autocomplete="username"
          value={name}
          readOnly
          tabIndex={-1}
          aria-hidden
        />
        <label>
          {t.present}
          <input name="current" type="password" autocomplete="current-password" required maxLength={256} />
        </label>
        <label>
          {t.next}
          <input name="next" type="password" autocomplete="new-password" required minLength={12} maxLength={256} />
        </label>
        <p class="note">{t.passwordRule}</p>
        <label>
          {t.again}
          <input name="again" type="password" autocomplete="new-password" required maxLength={256} />
        </label>
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? t.busy : t.change}
        </button>
        <button type="button" class="button" onClick={() => void leave()}>
          {t.signOut}
        </button>
      </form>
    </>
  );
}

/** Always there, so that a screen reader hears what comes into it. */
function Problem({ text }: { text: string }) {
  return (
    <p class={text === '' ? 'sign-in-problem visually-hidden' : 'sign-in-problem'} role="alert">
      {text}
    </p>
  );
}
