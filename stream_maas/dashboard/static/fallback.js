// SHA-2 (FIPS 180-4) and Ed25519 verification (RFC 8032, 5.1.7) for pages that have no WebCrypto. Slow, and only ever
// given public data, so it need not hide how long it takes.

// The constants are defined as fractional bits of square and cube roots of the first primes: they are computed here.
function primes(count) {
  const found = [];
  for (let n = 2n; found.length < count; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
}
function root(n, k) { // floor of the k-th root
  let low = 0n, high = 1n << BigInt(Math.ceil(n.toString(2).length / Number(k)) + 1);
  while (low < high - 1n) { const middle = (low + high) / 2n; if (middle ** k <= n) low = middle; else high = middle; }
  return low;
}
const fraction = (prime, k, bits) => root(prime << (bits * k), k) & ((1n << bits) - 1n);

function sha2(bytes, wide) {
  const word = wide ? 64n : 32n, mask = (1n << word) - 1n, block = wide ? 128 : 64, rounds = wide ? 80 : 64;
  const [big0, big1, small0, small1] = wide
    ? [[28n, 34n, 39n], [14n, 18n, 41n], [1n, 8n, 7n], [19n, 61n, 6n]]
    : [[2n, 13n, 22n], [6n, 11n, 25n], [7n, 18n, 3n], [17n, 19n, 10n]];
  const turn = (x, n) => ((x >> n) | (x << (word - n))) & mask;
  const big = (x, [a, b, c]) => turn(x, a) ^ turn(x, b) ^ turn(x, c);
  const small = (x, [a, b, c]) => turn(x, a) ^ turn(x, b) ^ (x >> c);
  const k = primes(rounds).map((prime) => fraction(prime, 3n, word));
  const state = primes(8).map((prime) => fraction(prime, 2n, word));

  const padded = new Uint8Array(Math.ceil((bytes.length + 1 + block / 8) / block) * block);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const view = new DataView(padded.buffer), size = Number(word) / 8;
  for (let start = 0; start < padded.length; start += block) {
    const w = Array.from({ length: 16 }, (_, i) =>
      wide ? view.getBigUint64(start + i * 8) : BigInt(view.getUint32(start + i * 4)));
    for (let i = 16; i < rounds; i++) w[i] = (small(w[i - 2], small1) + w[i - 7] + small(w[i - 15], small0) + w[i - 16]) & mask;
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < rounds; i++) {
      const one = h + big(e, big1) + ((e & f) ^ (~e & mask & g)) + k[i] + w[i];
      const two = big(a, big0) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) & mask, c, b, a, (one + two) & mask];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] = (state[i] + value) & mask; });
  }
  const digest = new Uint8Array(8 * size), out = new DataView(digest.buffer);
  state.forEach((value, i) => (wide ? out.setBigUint64(i * 8, value) : out.setUint32(i * 4, Number(value))));
  return digest;
}
export const sha256 = (bytes) => sha2(bytes, false);
export const sha512 = (bytes) => sha2(bytes, true);

// The curve -x² + y² = 1 + d·x²·y² over the integers modulo p; points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
const p = 2n ** 255n - 19n, order = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (x) => ((x % p) + p) % p;
function power(base, exponent) {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p;
  return result;
}
const inverse = (x) => power(x, p - 2n);
const d = mod(-121665n * inverse(121666n)), rootOfMinusOne = power(2n, (p - 1n) / 4n);

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2)), c = mod(2n * t1 * t2 * d), e = mod(2n * z1 * z2);
  return [mod((b - a) * (e - c)), mod((e + c) * (b + a)), mod((e - c) * (e + c)), mod((b - a) * (b + a))];
}
function times(scalar, point) {
  let result = [0n, 1n, 1n, 0n];
  for (let q = point, s = scalar; s > 0n; s >>= 1n, q = add(q, q)) if (s & 1n) result = add(result, q);
  return result;
}
const same = ([x1, y1, z1], [x2, y2, z2]) => mod(x1 * z2 - x2 * z1) === 0n && mod(y1 * z2 - y2 * z1) === 0n;
const littleEndian = (bytes) => bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);

function point(bytes) { // RFC 8032, 5.1.3; null for what is no point
  const sign = BigInt(bytes[31] >> 7), y = littleEndian(bytes) & ((1n << 255n) - 1n);
  if (y >= p) return null;
  const u = mod(y * y - 1n), v = mod(d * y * y + 1n);
  let x = mod(u * v ** 3n * power(u * v ** 7n, (p - 5n) / 8n));
  if (mod(v * x * x) !== u) x = mod(x * rootOfMinusOne);
  if (mod(v * x * x) !== u || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = p - x;
  return [x, y, 1n, mod(x * y)];
}
const base = point(Uint8Array.from({ length: 32 }, (_, i) => (i ? 0x66 : 0x58)));

export function ed25519(publicKey, signature, message) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const a = point(publicKey), r = point(signature.slice(0, 32)), s = littleEndian(signature.slice(32));
  if (!a || !r || s >= order) return false;
  const h = littleEndian(sha512(Uint8Array.from([...signature.slice(0, 32), ...publicKey, ...message]))) % order;
  return same(times(s, base), add(r, times(h, a)));
}
