"""A client by the package websockets. It plays the part that interop_test.go describes and prints what it saw as one line of JSON."""

import asyncio
import json
import os

import websockets

URL, TOKEN, CHAT = (os.environ["QUORATE_" + name] for name in ("URL", "TOKEN", "CHAT"))


async def until(ws, fits):
    while True:
        frame = json.loads(await ws.recv())
        if fits(frame):
            return frame


async def close_code(first):
    async with websockets.connect(URL, subprotocols=["quorate.v1"]) as ws:
        await ws.send(first)
        await ws.wait_closed()
        return ws.close_code


def frame(kind, **members):
    return json.dumps({"type": kind, "chatId": CHAT, **members}, ensure_ascii=False)


async def main():
    saw = {"closes": {}}
    async with websockets.connect(URL, subprotocols=["quorate.v1", "bearer." + TOKEN]) as ws:
        saw["protocol"] = ws.subprotocol
        saw["extensions"] = ws.response_headers.get("Sec-WebSocket-Extensions", "")
        await ws.send(json.dumps({"type": "hello", "deviceId": "python"}))
        saw["user"] = (await until(ws, lambda f: f["type"] == "welcome"))["userId"]
        await until(ws, lambda f: f["type"] == "caughtUp")
        await ws.send(frame("send", id=1, clientMessageId="n1", text="h\u00e9llo \u2713 \U0001f642"))
        waited = {}

        def all_there(f):
            if f["type"] == "sent" and f["id"] == 1:
                waited["sent"] = f["sequenceNumber"]
            if f["type"] == "message" and f["text"].startswith("reply to "):
                waited["reply"], waited["seq"] = f["text"], f["sequenceNumber"]
            if f["type"] == "receipt" and f["userId"] != saw["user"] and f["readUpTo"] >= 1:
                waited["receipt"] = f["readUpTo"]
            return {"sent", "reply", "receipt"} <= waited.keys()

        await until(ws, all_there)
        saw.update({name: waited[name] for name in ("sent", "reply", "receipt")})
        await ws.send(frame("read", seq=waited["seq"]))
        await ws.send(frame("send", id=2, clientMessageId="n2", text="x" * 16384))
        saw["large"] = len((await until(ws, lambda f: f.get("clientMessageId") == "n2" and f["type"] == "message"))["text"])
        text = frame("send", id=3, clientMessageId="n3", text="in three \u2713 fragments")
        await ws.send([text[:20], text[20:60], text[60:]])
        saw["fragments"] = (await until(ws, lambda f: f.get("clientMessageId") == "n3" and f["type"] == "message"))["text"]
        await (await ws.ping("are you there"))
        saw["pong"] = "are you there"
        await ws.close(1000, "bye")
        saw["closes"]["normal"] = ws.close_code
    saw["closes"]["badFrame"] = await close_code("not JSON")
    saw["closes"]["binary"] = await close_code(b"\x01\x02\x03")
    saw["closes"]["badToken"] = await close_code(json.dumps({"type": "hello", "deviceId": "python", "token": "guess"}))
    print(json.dumps(saw))


asyncio.run(main())
