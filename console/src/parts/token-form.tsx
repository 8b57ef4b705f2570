import { useSignal } from '@preact/signals';

export interface TokenFormProps {
  readonly refused: boolean;
  onToken(token: string): void;
}

/** Asks for `http.token`; the browser forgets it with the tab. */
export function TokenForm({ refused, onToken }: TokenFormProps) {
  const token = useSignal('');
  return (
    <form
      class="panel token"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.value.trim() !== '') onToken(token.value.trim());
      }}
    >
      <h2>This hub wants a token</h2>
      <p>
        It is <code>http.token</code> of its configuration. This tab keeps it until it is closed.
      </p>
      <input
        class="unseen"
        type="text"
        autocomplete="username"
        value="holdfast"
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
      <label for="token">Token</label>
      <div class="token-row">
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          value={token.value}
          aria-invalid={refused}
          aria-describedby={refused ? 'token-refused' : undefined}
          onInput={(event) => {
            token.value = event.currentTarget.value;
          }}
        />
        <button type="submit">Open</button>
      </div>
      {refused && (
        <p id="token-refused" class="token-refused" role="alert">
          The hub refused that token.
        </p>
      )}
    </form>
  );
}
