// What the page asks of the service; all of it is of the same origin.

const KEPT = "memae-token"; // for as long as the tab is open

/** An answer that is none: its sentence, and the status. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const keepToken = (token) => sessionStorage.setItem(KEPT, token);

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEPT);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refusal(0, "The service does not answer. Is it still running?");
  }
  const told = await response.json().catch(() => ({ error: `The service answered ${response.status}.` }));
  if (!response.ok) throw new Refusal(response.status, told.error);
  return told;
}

function send(path, model, files, query) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  const asked = new URLSearchParams([["model", model.name], ...query]);
  return ask(`${path}?${asked}`, { method: "POST", body: form });
}

export const models = async () => (await ask("models")).models;
export const score = (model, files, ignore) => send("score", model, files, ignore.map((name) => ["ignore", name]));

/** The evidence of one sample; of number null, of the one that the service chooses. */
export async function explain(model, files, ignore, number) {
  const query = ignore.map((name) => ["ignore", name]);
  if (number !== null) query.push(["sample", number]);
  return (await send("explain", model, files, query)).samples[0];
}
