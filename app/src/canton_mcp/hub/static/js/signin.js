// The token: typed, or given behind `#token=` and then taken out of the address.

/** Post the token; the reason in words when it is not taken. @param {string} token @returns {Promise<string>} */
export async function signIn(token) {
  let answer;
  try {
    answer = await fetch(new URL("session", document.baseURI), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      credentials: "same-origin",
      body: JSON.stringify({ token }),
    });
  } catch {
    return "The hub does not answer. Is canton-mcp hub running?";
  }
  if (answer.ok) return "";
  if (answer.status === 429) return "Too many attempts. Wait a minute.";
  if (answer.status === 401 || answer.status === 403) return "That is not the hub's token.";
  return `The hub answers ${answer.status}.`;
}

/** The token behind the address, which is taken out of it at once. */
export function tokenOfAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

/** Make the form in `root` sign in. @param {HTMLElement} root @param {() => void} done */
export function wire(root, done) {
  const form = /** @type {HTMLFormElement} */ (root.querySelector("form"));
  const input = /** @type {HTMLInputElement} */ (form.elements.namedItem("token"));
  const problem = /** @type {HTMLElement} */ (form.querySelector(".problem"));
  /** @param {string} token */
  const attempt = async (token) => {
    problem.textContent = "";
    const reason = await signIn(token);
    input.value = "";
    if (!reason) return done();
    problem.textContent = reason;
    input.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(input.value);
  });
  const given = () => {
    const token = tokenOfAddress();
    if (token) attempt(token);
  };
  addEventListener("hashchange", given);
  given();
}
