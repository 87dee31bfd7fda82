// Reads a stream by fetch, as a browser without EventSource does, and comes back by its last id.
// Arguments: URL, token, the number of notifications to read. Prints one JSON document.

const [url, token, wanted] = process.argv.slice(2);
const seen = { status: 0, type: "", kinds: [], offsets: [], numbers: [], endings: [] };
let cursor = "";

function take(block) {
  const frame = { event: "message", data: [] };
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") frame.data.push(value);
    else if (name === "event") frame.event = value;
    else if (name === "id") cursor = value;
  }
  if (!frame.data.length) return;
  const data = JSON.parse(frame.data.join("\n"));
  seen.kinds.push(frame.event);
  if (frame.event === "notification") {
    seen.offsets.push(data.offset);
    seen.numbers.push(data.data.number);
  }
  if (frame.event === "bye") seen.endings.push(data.reason);
}

async function connect() {
  const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
  if (cursor) headers["Last-Event-ID"] = cursor;
  const leaving = new AbortController();
  const answer = await fetch(url, { headers, signal: leaving.signal });
  seen.status = answer.status;
  seen.type = answer.headers.get("content-type");
  let text = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const blocks = text.split(/\r\n\r\n|\n\n|\r\r/);
    text = blocks.pop();
    blocks.forEach(take);
    if (seen.offsets.length >= Number(wanted)) {
      leaving.abort();
      return;
    }
    if (seen.kinds.length === 1) console.error("ready");
  }
}

while (seen.offsets.length < Number(wanted)) await connect();
console.log(JSON.stringify(seen));
