"""Talks to a WebSocket of a node: websocket_client.py URL [TOKEN]. Prints what it hears as JSON.

With the word `rest` behind, it sends lines of its input, one by one, and prints a line for each answer; what ends the
socket is the last."""

import asyncio
import json
import sys

import websockets


async def main(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # What a client says of itself is not what the door remembers.
    headers["Meta-Count"] = "40"
    heard = []
    try:
        async with websockets.connect(url, additional_headers=headers) as socket:
            for text in ["one", "zwei äöü", "x" * 100_000]:
                await socket.send(text)
                heard.append(await socket.recv())
            await (await socket.ping())
            for number in range(20):
                await socket.send(f"burst {number}")
            heard += [await socket.recv() for _ in range(20)]
            await socket.send("bye")
            await socket.recv()
    except websockets.ConnectionClosed as closed:
        frame = closed.rcvd
        heard.append([frame.code, frame.reason] if frame else None)
    except websockets.InvalidStatus as refused:
        heard.append(refused.response.status_code)
    print(json.dumps(heard))


async def rest(url, token):
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        try:
            for line in iter(sys.stdin.readline, ""):
                await socket.send(line.strip())
                print(await socket.recv(), flush=True)
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            print(closed.rcvd.code if closed.rcvd else None, flush=True)


arguments = sys.argv[1:]
if arguments[-1] == "rest":
    asyncio.run(rest(*arguments[:-1]))
else:
    asyncio.run(main(*arguments))
