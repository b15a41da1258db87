// Real grammY behind a pipe: a JSON request a line in, a JSON answer a line out, in order.
// A field that is absent stands for `undefined`, which JSON cannot say.

import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate as turn } from "node:timers/promises";

// By path: a plain name would also find what lies in the folders above.
const installed = (name) =>
  createRequire(import.meta.url)(join(process.argv[2], "node_modules", name));
const grammy = installed("grammy");
const { FileAdapter } = installed("@grammyjs/storage-file");
const { freeStorage } = installed("@grammyjs/storage-free");
const { freeStorage: olderFreeStorage } = installed("older-storage-free");

const ME = { id: 1, is_bot: true, first_name: "Bot", username: "bot" };

const bots = new Map();
const storages = new Map();
const current = new AsyncLocalStorage(); // what is known of the update under way
let now = 0;
let tick = 0;
let pending = 0;
const strays = []; // rejections that belong to no update

Date.now = () => now;

process.on("unhandledRejection", (reason) => {
  (current.getStore()?.unhandled ?? strays).push(described(reason));
});

function copied(value) {
  const text = JSON.stringify(value);
  return text === undefined ? undefined : JSON.parse(text);
}

// A missing storage would make grammY take its own, a missing bot look like a failing handler.
function known(things, id) {
  if (!things.has(id)) throw new Error(`${id} is gone: made before the last reset?`);
  return things.get(id);
}

function described(thrown) {
  return thrown instanceof Error
    ? { name: thrown.name, message: thrown.message }
    : { name: typeof thrown, message: String(thrown) };
}

// Everything an update can wait for goes through here, see `settled`.
async function nextTurn(action) {
  pending++;
  try {
    await turn();
    return await action();
  } finally {
    pending--;
  }
}

// ---- changes: what migrations are made of, pure, the same as in changes.py ----

const changes = {
  Put: (data, { name, value }) => ({ ...data, [name]: value }),
  Drop: (data, { name }) => without(data, name),
  Rename: (data, { old, new: name }) =>
    Object.hasOwn(data, old) ? { ...without(data, old), [name]: data[old] } : data,
  Append: (data, { name, value }) => ({ ...data, [name]: [...field(data, name, []), value] }),
  Add: (data, { name, by }) => ({ ...data, [name]: field(data, name, 0) + by }),
  Wrap: (data, { name }) => ({ [name]: data }),
  Fail: (_, { message }) => {
    throw new Error(message);
  },
};

function field(data, name, missing) {
  return Object.hasOwn(data, name) ? data[name] : missing;
}

function without(data, name) {
  return Object.fromEntries(Object.entries(data).filter(([other]) => other !== name));
}

function migration(list) {
  return (data) => list.reduce((value, change) => changes[change.is](value, change), data);
}

function migrations(table) {
  return Object.fromEntries(Object.entries(table).map(([v, list]) => [v, migration(list)]));
}

// ---- storages ----

function recorded(id, storage) {
  const failing = new Set();
  async function call(op, key, action, value) {
    const entry = { op, key, storage: id, value: copied(value), began: ++tick };
    current.getStore()?.calls.push(entry);
    try {
      const answer = await nextTurn(() => {
        if (failing.has(op)) throw new Error(`${op} of ${key} was made to fail`);
        return action();
      });
      if (op === "R") entry.value = copied(answer);
      return answer;
    } catch (error) {
      entry.error = described(error);
      throw error;
    } finally {
      entry.ended = ++tick;
    }
  }
  return {
    failing,
    read: (key) => call("R", key, () => storage.read(key)),
    write: (key, value) => call("W", key, () => storage.write(key, value), value),
    delete: (key) => call("D", key, () => storage.delete(key)),
  };
}

// grammY's memory hands out live references; no other storage can.
function copying(storage) {
  return {
    read: (key) => copied(storage.read(key)),
    write: (key, value) => storage.write(key, copied(value)),
    delete: (key) => storage.delete(key),
  };
}

// What they import is loaded when the first is made: it takes half a second.
const makeClient = {
  async redis({ url }) {
    const { default: Redis } = installed("ioredis");
    const instance = new Redis(url);
    return { made: { instance }, close: () => instance.quit() };
  },
  async psql({ url, table }) {
    const client = new (installed("pg").Client)(url);
    await client.connect();
    return { made: { client, tableName: table }, close: () => client.end() };
  },
  async mongodb({ url, table }) {
    const client = new (installed("mongodb").MongoClient)(url);
    await client.connect();
    return { made: { collection: client.db().collection(table) }, close: () => client.close() };
  },
};

const makeAdapter = {
  redis: ({ RedisAdapter }, options) => new RedisAdapter(options),
  psql: ({ PsqlAdapter }, options) => PsqlAdapter.create(options),
  mongodb: ({ MongoDBAdapter }, options) => new MongoDBAdapter(options),
};

// What JSON cannot say, which JavaScript can store.
const odd = () => ({
  date: new Date(1700000000123),
  undefined: undefined,
  big: 2 ** 40,
  half: 1.5,
  bytes: new Uint8Array([1, 2]),
});

const makeStorage = {
  async served(id, { engine, older, url, table, ttl_s }) {
    const { made, close } = await makeClient[engine]({ url, table });
    const module = installed(older ? `older-storage-${engine}` : `@grammyjs/storage-${engine}`);
    const storage = await makeAdapter[engine](module, { ...made, ttl: ttl_s });
    return { ...recorded(id, storage), close };
  },
  memory(id, { live, ttl_ms }) {
    const memory = new grammy.MemorySessionStorage(ttl_ms);
    return { ...recorded(id, live ? memory : copying(memory)), memory };
  },
  file: (id, { folder }) => recorded(id, new FileAdapter({ dirName: folder })),
  free(id, { token, root_url: rootUrl, older }) {
    const storage = (older ? olderFreeStorage : freeStorage)(token, { rootUrl });
    return { ...recorded(id, storage), keys: () => nextTurn(() => storage.readAllKeys()) };
  },
  enhanced: (_, { inner, ttl_ms, migrations: table }) =>
    grammy.enhanceStorage({
      storage: known(storages, inner),
      millisecondsToLive: ttl_ms,
      migrations: table && migrations(table),
    }),
};

// ---- sessions ----

const keys = {
  chat: undefined, // grammY's default
  user: (ctx) => ctx.from?.id.toString(),
  user_in_chat: (ctx) =>
    ctx.from === undefined || ctx.chat === undefined ? undefined : `${ctx.from.id}/${ctx.chat.id}`,
  async_chat: async (ctx) => {
    await nextTurn(() => undefined);
    return ctx.chat?.id.toString();
  },
  number: (ctx) => ctx.from?.id,
  none: () => undefined,
  null: () => null,
  empty: () => "",
  failing: () => {
    throw new Error("getSessionKey was made to fail");
  },
};

function options({ key, prefix, storage, ...rest }) {
  const chosen = { storage: known(storages, storage) };
  if (keys[key]) chosen.getSessionKey = keys[key];
  if (prefix !== undefined) chosen.prefix = prefix;
  if ("initial" in rest) {
    chosen.initial = () => {
      current.getStore().initials++;
      return copied(rest.initial);
    };
  }
  return chosen;
}

function multi(fragments) {
  const entries = Object.entries(fragments).map(([name, given]) => [name, options(given)]);
  return { type: "multi", ...Object.fromEntries(entries) };
}

const middleware = {
  strict: ({ "": given }) => grammy.session(options(given)),
  lazy: ({ "": given }) => grammy.lazySession(options(given)),
  multi: (fragments) => grammy.session(multi(fragments)),
  lazy_multi: (fragments) => grammy.lazySession(multi(fragments)),
};

// ---- handlers ----

const steps = {
  Read: async ({ session, run }) => run.saw.push({ value: copied(await session.get()) }),
  Touch: ({ session, run }, { at }) => {
    run.held.set(at, session.get());
  },
  ReadTouched: async ({ run }, { at }) =>
    run.saw.push({ value: copied(await run.held.get(at)) }),
  IsPromise: ({ session, run }) => run.saw.push({ value: session.get() instanceof Promise }),
  Fragments: ({ ctx, run }) => run.saw.push({ value: Object.keys(ctx.session) }),
  Assign: ({ session }, { value }) => session.set(value),
  AssignPromise: ({ session }, { value }) => session.set(nextTurn(() => value)),
  AssignRejection: ({ session }, { message }) =>
    session.set(nextTurn(() => Promise.reject(new Error(message)))),
  AssignDerived: ({ session }, { name, value, returns }) =>
    session.set(
      session.get().then((data) => {
        data[name] = value;
        return returns ? data : undefined;
      }),
    ),
  SetField: async ({ session }, { name, value }) => {
    (await session.get())[name] = value;
  },
  Increment: async ({ session }, { name, by }) => {
    (await session.get())[name] += by;
  },
  AppendTo: async ({ session }, { name, value }) => (await session.get())[name].push(value),
  DeleteField: async ({ session }, { name }) => {
    delete (await session.get())[name];
  },
  Turn: () => nextTurn(() => undefined),
  Raise: (_, { message }) => {
    throw new Error(message);
  },
  Guard: async ({ ctx, run }, { steps: guarded }) => {
    try {
      await handle(ctx, run, guarded);
    } catch (error) {
      run.caught.push(described(error));
    }
  },
};

function sessionOf(ctx, at) {
  const owner = () => (at === "" ? [ctx, "session"] : [ctx.session, at]);
  return {
    get: () => {
      const [object, name] = owner();
      return object[name];
    },
    set: (value) => {
      const [object, name] = owner();
      object[name] = value;
    },
  };
}

async function handle(ctx, run, program) {
  for (const step of program) {
    await steps[step.is]({ ctx, run, session: sessionOf(ctx, step.at) }, step);
  }
}

function makeBot({ kind, fragments, times }) {
  const bot = new grammy.Bot("1:token", { botInfo: ME });
  for (let i = 0; i < times; i++) bot.use(middleware[kind](fragments));
  bot.use((ctx) => {
    const run = current.getStore();
    return handle(ctx, run, run.program);
  });
  return bot;
}

// ---- updates ----

// Microtasks run dry between two turns of the loop.  So an update that has not come to its
// end while nothing is pending never will: no need to wait for some time and hope.
async function settled(updates) {
  for (let idle = 0; idle < 3; idle = pending > 0 ? 0 : idle + 1) {
    if (updates.every((run) => !run.hang) && idle > 0) return;
    await turn();
  }
}

async function play(run, bot, update) {
  try {
    await bot.handleUpdate(update);
  } catch (error) {
    run.error = described(error instanceof grammy.BotError ? error.error : error);
  }
  run.hang = false;
}

function start({ bot, update, steps: program }) {
  const run = { saw: [], caught: [], calls: [], unhandled: [], initials: 0, hang: true };
  Object.defineProperties(run, { program: { value: program }, held: { value: new Map() } });
  current.run(run, play, run, known(bots, bot), update);
  return run;
}

const requests = {
  clock({ ms }) {
    now = ms;
  },
  async storage({ id, kind, ...given }) {
    storages.set(id, await makeStorage[kind](id, given));
  },
  bot({ id, ...given }) {
    bots.set(id, makeBot(given));
  },
  async updates({ updates }) {
    const runs = updates.map(start);
    await settled(runs);
    if (runs.length === 1) runs[0].unhandled.push(...strays.splice(0));
    return runs.map(copied);
  },
  failing({ id, ops }) {
    const { failing } = known(storages, id);
    failing.clear();
    ops.forEach((op) => failing.add(op));
  },
  read: ({ id, key }) => known(storages, id).read(key),
  write: async ({ id, key, value }) => void (await known(storages, id).write(key, value)),
  delete: async ({ id, key }) => void (await known(storages, id).delete(key)),
  write_odd: async ({ id, key, names }) => {
    const value = Object.fromEntries(Object.entries(odd()).filter(([name]) => names.includes(name)));
    await known(storages, id).write(key, value);
  },
  close: ({ id }) => void known(storages, id).close(),
  keys: ({ id }) => known(storages, id).keys(),
  dump: ({ id }) => [...known(storages, id).memory.storage].map(([key, { session }]) => [key, session]),
  strays: () => strays.splice(0),
  vocabulary: () => [steps, changes, keys].map(Object.keys),
  reset() {
    bots.clear();
    storages.clear();
    now = 0;
    strays.length = 0;
  },
};

async function answered({ request, ...given }) {
  try {
    return { value: await requests[request](given) };
  } catch (error) {
    return { error: described(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answered(JSON.parse(line))) + "\n");
}
