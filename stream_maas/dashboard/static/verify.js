// Checks of the audit log that this browser does itself: RFC 6962 inclusion proofs and C2SP signed checkpoints.
// The server hands over bytes; whether they are genuine is decided here.

const text = new TextEncoder();
export const fromBase64 = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const equal = (a, b) => a.length === b.length && a.every((byte, place) => byte === b[place]);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => Array.from(part)));

// WebCrypto exists on loopback and under HTTPS only; elsewhere a slow version of our own does the same.
const subtle = globalThis.crypto?.subtle;
export async function sha256(bytes) {
  if (subtle) return new Uint8Array(await subtle.digest("SHA-256", bytes));
  return (await import("./fallback.js")).sha256(bytes);
}

export async function ed25519(publicKey, signature, message) {
  try {
    const key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", key, signature, message);
  } catch { // no WebCrypto here, or one without Ed25519
    return (await import("./fallback.js")).ed25519(publicKey, signature, message);
  }
}

// RFC 6962, 2.1: domain-separated hashes of leaves and inner nodes.
export const leafHash = (bytes) => sha256(join([0], bytes));
const nodeHash = (left, right) => sha256(join([1], left, right));

// RFC 9162, 2.1.3.2: the root that a proof leads to; null when index, size and path do not fit together.
export async function rootFromInclusion(leaf, index, size, path) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  let node = BigInt(index), last = BigInt(size) - 1n, hash = leaf;
  for (const sibling of path) {
    if (sibling.length !== 32 || last === 0n) return null;
    if (node & 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      while (!(node & 1n) && node !== 0n) { node >>= 1n; last >>= 1n; }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    node >>= 1n; last >>= 1n;
  }
  return last === 0n ? hash : null;
}

// C2SP tlog-checkpoint in a signed note: origin, size, root; then "— NAME base64(key id || signature)" lines.
export function parseCheckpoint(note) {
  const split = note.lastIndexOf("\n\n");
  if (split < 0) throw new Error("the checkpoint is no signed note");
  const body = note.slice(0, split + 1), [origin, size, root] = body.split("\n");
  if (!origin || !/^(0|[1-9][0-9]*)$/.test(size ?? "") || !root) throw new Error("the checkpoint is incomplete");
  const signatures = note.slice(split + 2).split("\n").filter(Boolean).map((line) => {
    const match = /^\u2014 (\S+) (\S+)$/.exec(line);
    if (!match) throw new Error("a signature line of the checkpoint is malformed");
    const bytes = fromBase64(match[2]);
    return { name: match[1], id: toHex(bytes.slice(0, 4)), signature: bytes.slice(4) };
  });
  return { body: text.encode(body), origin, size: Number(size), root: fromBase64(root), signatures };
}

// Verifier key "NAME+ID+base64(1 || 32 bytes)"; the id is the first four bytes of SHA-256(NAME "\n" 1 key).
export async function parseKey(vkey) {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey);
  const bytes = match ? fromBase64(match[3]) : [];
  if (bytes.length !== 33 || bytes[0] !== 1) throw new Error("the key is no Ed25519 verifier key");
  const id = toHex((await sha256(join(text.encode(match[1]), [10], bytes))).slice(0, 4));
  if (id !== match[2]) throw new Error("the key does not match its own id");
  return { name: match[1], id, bytes: bytes.slice(1) };
}

// All checks of one event as [{ claim, ok, detail }]; the event is proven when every one of them holds.
export async function checkInclusion(value, proof, partition) {
  const steps = [];
  const step = (claim, ok, detail = "") => (steps.push({ claim, ok, detail }), ok);
  try {
    const leaf = await leafHash(value);
    const checkpoint = parseCheckpoint(proof.checkpoint);
    const root = await rootFromInclusion(leaf, proof.leaf_index, proof.tree_size, proof.path.map(fromBase64));
    step("The proof fits the size of the sealed log", root !== null && checkpoint.size === proof.tree_size,
      `event ${proof.leaf_index} of ${proof.tree_size}`);
    step("These bytes lead to the sealed root", root !== null && equal(root, checkpoint.root),
      `${proof.path.length} hashes to ${toHex(checkpoint.root).slice(0, 16)}…`);
    const key = await parseKey(proof.vkey);
    const line = checkpoint.signatures.find(({ name, id }) => name === key.name && id === key.id);
    step("The sealer signed this root", Boolean(line) && await ed25519(key.bytes, line.signature, checkpoint.body),
      `key ${key.name}+${key.id}`);
    step("The seal is for this partition", checkpoint.origin.endsWith(`/${partition}`), checkpoint.origin);
    return { valid: steps.every(({ ok }) => ok), steps, checkpoint, key };
  } catch (error) {
    step("The proof can be read", false, error.message);
    return { valid: false, steps, checkpoint: null, key: null };
  }
}

// What this browser has seen before must still hold: the same key, and at an equal size the same root.
export function remember(origin, vkey, size, root, store = localStorage) {
  const name = `log ${origin}`, seen = JSON.parse(store.getItem(name) ?? "null");
  const steps = [];
  if (seen) {
    steps.push({ claim: "It is the key that this browser saw before", ok: seen.vkey === vkey, detail: seen.since });
    if (seen.size === size) steps.push({ claim: "At this size the log had this root before", ok: seen.root === root });
  }
  if (steps.every(({ ok }) => ok) && !(seen?.size > size)) {
    store.setItem(name, JSON.stringify({ vkey, size, root, since: seen?.since ?? new Date().toISOString().slice(0, 10) }));
  }
  return steps;
}
