// The script of ../README.md on the official Node SDK.
'use strict';

const { NacosNamingClient } = require('nacos');

const CHANGE_LIMIT_MS = 25000;
const WATCH_MS = 20000;
// Past the query that follows a subscription after a second: what comes next is told by push or much later.
const SETTLE_MS = 1500;
// The last push is still acknowledged.
const LINGER_MS = 3000;
const PUSH_MARK = '[PushReceiver] received push data: %s from %s:%s';
const began = process.hrtime.bigint();

const args = {};
for (let i = 2; i + 1 < process.argv.length; i += 2) args[process.argv[i]] = process.argv[i + 1];
const service = args['--service'];
const group = args['--group'];

// What a push or a callback brought, and when.
const pushes = [];
const changes = [];
let failed = false;

function now() {
  return Number((process.hrtime.bigint() - began) / 1000000n);
}

function sleep(ms) {
  return new Promise(resolve => setTimeout(resolve, ms));
}

// The SDK logs every packet it receives, before it does anything with it.
const logger = {
  info(format, ...words) {
    if (format !== PUSH_MARK) return;
    const data = JSON.parse(JSON.parse(words[0]).data);
    pushes.push({ at: now(), hosts: plain(data.hosts) });
  },
  debug() {},
  warn(...words) { console.error(...words); },
  error(...words) { console.error(...words); },
};

function metadata(rev, more) {
  return {
    rev,
    'preserved.heart.beat.interval': '1000',
    'preserved.heart.beat.timeout': '11000',
    'preserved.ip.delete.timeout': '12000',
    ...more,
  };
}

function first(weight, rev) {
  const more = { note: 'naïve & 北=京' };
  return { ip: '127.0.0.21', port: 7001, clusterName: 'east', weight, metadata: metadata(rev, more) };
}

const second = { ip: '127.0.0.22', port: 7002, clusterName: 'west', weight: 1, metadata: metadata('1') };

// Instances in one order, under the names that all programs use.
function plain(hosts) {
  return hosts.map(it => ({
    id: it.instanceId,
    ip: it.ip,
    port: it.port,
    cluster: it.clusterName,
    service: it.serviceName,
    weight: it.weight,
    healthy: it.healthy,
    enabled: it.enabled,
    ephemeral: it.ephemeral,
    metadata: it.metadata,
  })).sort((a, b) => a.port - b.port);
}

class Failed extends Error {
  constructor(detail, saw) {
    super(detail);
    this.saw = saw;
  }
}

async function step(name, call) {
  const line = { step: name };
  try {
    Object.assign(line, await call(), { ok: true });
  } catch (error) {
    Object.assign(line, { saw: error.saw, detail: String(error), ok: false });
    failed = true;
  }
  line.at_ms = now();
  process.stdout.write(JSON.stringify(line) + '\n');
  return line.ok;
}

function without(name) {
  process.stdout.write(JSON.stringify({ step: name, skip: 'this SDK has no such call' }) + '\n');
}

// Waits until the subscriber has been told, and says by what.
function change(name, since, wanted) {
  const find = (list, to) => list.find(it => it.at >= since && it.at <= to && wanted(it.hosts));
  return step(name, async () => {
    for (const end = now() + CHANGE_LIMIT_MS; now() < end; await sleep(2)) {
      const told = find(changes, Infinity);
      if (!told) continue;
      const way = find(pushes, told.at) ? 'push' : 'poll';
      return { saw: told.hosts, way, after_ms: told.at - since };
    }
    throw new Failed('the subscriber was not told in time', changes.length ? changes[changes.length - 1].hosts : null);
  });
}

function listed(hosts, wanted) {
  const saw = plain(hosts);
  if (saw.length !== wanted) throw new Failed(`${saw.length} instances instead of ${wanted}`, saw);
  return { saw };
}

// Asks again for a moment: an acknowledged write may show a little later.
async function eventually(call) {
  for (const end = now() + 5000; ; await sleep(100)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Failed) || now() > end) throw error;
    }
  }
}

async function connect(address) {
  const client = new NacosNamingClient({ logger, serverList: address, namespace: args['--namespace'] });
  client.on('error', error => console.error(error));
  await client.ready();
  return client;
}

async function run() {
  let writer;
  let subscriber;
  const connected = await step('connect', async () => {
    writer = await connect(args['--write']);
    subscriber = await connect(args['--subscribe']);
    const saw = await writer.getServerStatus() + ' ' + await subscriber.getServerStatus();
    if (saw !== 'UP UP') throw new Failed('a server is not up', saw);
    return { saw };
  });
  if (!connected) return;
  const all = client => client.getAllInstances(service, group, '', false);
  // Without clusters the SDK subscribes to the one called DEFAULT.
  const subscription = { serviceName: service, groupName: group, clusters: 'east,west' };
  await step('subscribe', async () => {
    subscriber.subscribe(subscription, hosts => changes.push({ at: now(), hosts: plain(hosts) }));
    return listed(await all(subscriber), 0);
  });
  await sleep(SETTLE_MS);
  const registering = now();
  const registered = await step('register', async () => {
    await writer.registerInstance(service, first(2, '1'), group);
    await writer.registerInstance(service, second, group);
  });
  if (!registered) return;
  await change('appear', registering, hosts => hosts.length === 2);
  await step('list', async () => listed(await all(subscriber), 2));
  await step('list-at-writer', () => eventually(async () => listed(await all(writer), 2)));
  await step('select-cluster', async () =>
    listed(await subscriber.selectInstances(service, group, 'east', true, false), 1));
  await step('select-healthy', async () => listed(await subscriber.selectInstances(service, group, 'east,west'), 2));
  without('select-one');
  without('services');
  await step('beats', async () => {
    // Both instances are there and healthy for longer than they would be without heartbeats.
    for (const end = now() + WATCH_MS; now() < end; await sleep(500)) {
      const found = await subscriber.selectInstances(service, group, '', true, false);
      if (found.length !== 2) throw new Failed('not both healthy', plain(found));
    }
    return { saw: 'both healthy at every look' };
  });
  const updating = now();
  await step('update', () => writer.registerInstance(service, first(5, '2'), group));
  await change('updated', updating, hosts => hosts.some(it => it.weight === 5 && it.metadata.rev === '2'));
  const leaving = now();
  await step('deregister', () => writer.deregisterInstance(service, first(5, '2'), group));
  await change('gone', leaving, hosts => hosts.length === 1 && hosts[0].port === 7002);
  await step('leave', async () => {
    // This SDK takes no empty list for an answer, so nothing can be seen of it here.
    subscriber.unSubscribe(subscription);
    await writer.deregisterInstance(service, second, group);
  });
  await sleep(LINGER_MS);
}

run().then(() => process.exit(failed ? 1 : 0), error => {
  console.error(error);
  process.exit(1);
});
