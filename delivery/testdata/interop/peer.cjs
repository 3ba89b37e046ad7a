// A client by the npm package ws. It plays the part that interop_test.go describes and prints what it saw as one line of JSON.
const WebSocket = require('ws');
const { QUORATE_URL: url, QUORATE_TOKEN: token, QUORATE_CHAT: chat } = process.env;

function open(protocols) {
  const ws = new WebSocket(url, protocols);
  const frames = [], waits = [];
  const closed = new Promise((done) => ws.on('close', (code) => done(code)));
  ws.on('message', (data) => {
    frames.push(JSON.parse(data));
    waits.forEach((look) => look());
  });
  const await_ = (fits) => new Promise((done) => {
    const look = () => {
      const i = frames.findIndex(fits);
      if (i >= 0) done(frames.splice(i, 1)[0]);
    };
    waits.push(look);
    look();
  });
  const say = (frame) => ws.send(JSON.stringify(frame));
  return { ws, closed, say, await: await_, opened: new Promise((done, fail) => ws.on('open', done).on('error', fail)) };
}

async function main() {
  const saw = { closes: {} };
  const c = open(['quorate.v1', 'bearer.' + token]);
  await c.opened;
  saw.protocol = c.ws.protocol;
  saw.extensions = c.ws.extensions;
  c.say({ type: 'hello', deviceId: 'node' });
  saw.user = (await c.await((f) => f.type === 'welcome')).userId;
  await c.await((f) => f.type === 'caughtUp');
  c.say({ type: 'send', id: 1, chatId: chat, clientMessageId: 'n1', text: 'h\u00e9llo \u2713 \u{1f642}' });
  saw.sent = (await c.await((f) => f.type === 'sent' && f.id === 1)).sequenceNumber;
  const reply = await c.await((f) => f.type === 'message' && f.text.startsWith('reply to '));
  saw.reply = reply.text;
  c.say({ type: 'read', chatId: chat, seq: reply.sequenceNumber });
  saw.receipt = (await c.await((f) => f.type === 'receipt' && f.userId !== saw.user && f.readUpTo >= 1)).readUpTo;
  c.say({ type: 'send', id: 2, chatId: chat, clientMessageId: 'n2', text: 'x'.repeat(16384) });
  saw.large = (await c.await((f) => f.type === 'message' && f.clientMessageId === 'n2')).text.length;
  const text = JSON.stringify({ type: 'send', id: 3, chatId: chat, clientMessageId: 'n3', text: 'in three \u2713 fragments' });
  c.ws.send(text.slice(0, 20), { fin: false });
  c.ws.send(text.slice(20, 60), { fin: false });
  c.ws.send(text.slice(60), { fin: true });
  saw.fragments = (await c.await((f) => f.type === 'message' && f.clientMessageId === 'n3')).text;
  const pong = new Promise((done) => c.ws.on('pong', (data) => done(String(data))));
  c.ws.ping('are you there');
  saw.pong = await pong;
  c.ws.close(1000, 'bye');
  saw.closes.normal = await c.closed;
  for (const [name, first] of [
    ['badFrame', (d) => d.ws.send('not JSON')],
    ['binary', (d) => d.ws.send(Buffer.from([1, 2, 3]))],
    ['badToken', (d) => d.say({ type: 'hello', deviceId: 'node', token: 'guess' })],
  ]) {
    const d = open(['quorate.v1']);
    await d.opened;
    first(d);
    saw.closes[name] = await d.closed;
  }
  console.log(JSON.stringify(saw));
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
