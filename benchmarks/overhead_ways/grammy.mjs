// grammY's counterparts of the ways: the same lines in, nanoseconds of processor time out.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
const [, , folder, text] = process.argv;
const { Composer, enhanceStorage, lazySession, MemorySessionStorage, session } = createRequire(folder + "/")("grammy");

const data = JSON.parse(text), chats = 10_000;
const getSessionKey = (ctx) => String(ctx.chat_id);
const initial = () => ({ ...data });
const filled = (storage, prefix = "") => {
  for (let n = 0; n < chats; n++) storage.write(prefix + n, { ...structuredClone(data), count: n });
  return storage;
};
const memory = (ttl) => filled(new MemorySessionStorage(ttl));
const count = (ctx) => { ctx.session.count++; };
const ignore = (ctx) => ctx.text === "/start";
const countLazy = async (ctx) => { (await ctx.session).count++; };
const countTwice = (ctx) => { ctx.session.a.count++; ctx.session.b.count++; };
const both = new MemorySessionStorage();
const fragment = (prefix) => (filled(both, prefix), { initial, storage: both, getSessionKey, prefix });
const bot = (...middleware) => new Composer(...middleware).middleware();
const migrations = { 1: (old) => old, 2: (old) => old };
const late = filled(enhanceStorage({ storage: new MemorySessionStorage(), millisecondsToLive: 3_600_000, migrations }));
const lazy = { initial, storage: memory(), getSessionKey };
const ways = {
  "bare": bot(count),
  "bare ignoring": bot(ignore),
  "bare two": bot(countTwice),
  "session": bot(session({ initial, storage: memory(), getSessionKey }), count),
  "nothing": bot(session({ initial, storage: new MemorySessionStorage(), getSessionKey }), ignore),
  "lazy untouched": bot(lazySession(lazy), ignore),
  "lazy": bot(lazySession(lazy), countLazy),
  "ttl": bot(session({ initial, storage: memory(3_600_000), getSessionKey }), count),
  "enhanced": bot(session({ initial, storage: late, getSessionKey }), count),
  "two": bot(session({ type: "multi", a: fragment("a"), b: fragment("b") }), countTwice),
};
const atHand = { "bare": { ...data }, "bare two": { a: { ...data }, b: { ...data } } };
const done = async () => {};

console.log(JSON.stringify({ ways: Object.keys(ways) }));
for await (const line of createInterface({ input: process.stdin })) {
  const { way, begin, size } = JSON.parse(line);
  const run = ways[way], session = atHand[way];
  const before = process.cpuUsage();
  for (let n = begin; n < begin + size; n++) {
    const ctx = { chat_id: (n * 7919) % chats, text: "hello" };
    if (session) ctx.session = session;
    await run(ctx, done);
  }
  const { user, system } = process.cpuUsage(before);
  console.log(((user + system) * 1000) / size);
}
