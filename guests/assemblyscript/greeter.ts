// Greets whoever a route names, `/…/{who}`, and says how often it did. AssemblyScript knows no WASI: what it imports are the
// host functions that My Own Cluster had. Bytes are an address and a length, and 0xffff says that something was not done.

@external("core", "get_input_buffer_id")
declare function getInput(): i32;
@external("core", "get_output_buffer_id")
declare function getOutput(): i32;
@external("core", "read_exchange_buffer")
declare function read(buffer: i32, to: usize, length: i32): i32;
@external("core", "read_exchange_buffer_headers")
declare function readHeaders(buffer: i32): i32;
@external("core", "write_exchange_buffer")
declare function write(buffer: i32, from: usize, length: i32): i32;
@external("core", "write_exchange_buffer_header")
declare function writeHeader(buffer: i32, name: usize, nameLength: i32, value: usize, valueLength: i32): i32;
@external("core", "write_exchange_buffer_status_code")
declare function writeStatus(buffer: i32, status: i32): i32;
@external("core", "free_buffer")
declare function free(buffer: i32): i32;
@external("core", "persistence_get")
declare function persistenceGet(key: usize, length: i32): i32;
@external("core", "persistence_set")
declare function persistenceSet(key: usize, keyLength: i32, value: usize, valueLength: i32): i32;
@external("core", "print_debug")
declare function printDebug(text: usize, length: i32): i32;

const FAILED = 0xffff;

function address(bytes: ArrayBuffer): usize {
  return changetype<usize>(bytes);
}

/** All bytes of a buffer, which is freed. */
function taken(buffer: i32): ArrayBuffer {
  const bytes = new ArrayBuffer(read(buffer, 0, 0));
  read(buffer, address(bytes), bytes.byteLength);
  free(buffer);
  return bytes;
}

/** The headers of a buffer: how many texts there are, and each after its length. */
function headers(buffer: i32): Map<string, string> {
  const all = taken(readHeaders(buffer));
  const found = new Map<string, string>();
  let at = address(all) + 4;
  for (let left = load<u32>(address(all)); left > 0; left -= 2) {
    const name = String.UTF8.decodeUnsafe(at + 4, load<u32>(at));
    at += 4 + load<u32>(at);
    const value = String.UTF8.decodeUnsafe(at + 4, load<u32>(at));
    at += 4 + load<u32>(at);
    found.set(name, value);
  }
  return found;
}

/** How often somebody was greeted, this time too. */
function counted(who: string): i32 {
  const key = String.UTF8.encode(`greeted/${who}`);
  const before = persistenceGet(address(key), key.byteLength);
  if (before == FAILED) {
    return -1;
  }
  const text = String.UTF8.decode(taken(before));
  const count = (text.length > 0 ? I32.parseInt(text) : 0) + 1;
  const value = String.UTF8.encode(count.toString());
  const kept = persistenceSet(address(key), key.byteLength, address(value), value.byteLength);
  return kept == FAILED ? -1 : count;
}

function answer(status: i32, text: string): void {
  const output = getOutput();
  writeStatus(output, status);
  const name = String.UTF8.encode("content-type");
  const value = String.UTF8.encode("text/plain; charset=utf-8");
  writeHeader(output, address(name), name.byteLength, address(value), value.byteLength);
  const bytes = String.UTF8.encode(text);
  write(output, address(bytes), bytes.byteLength);
}

export function main(): void {
  const asked = headers(getInput());
  if (!asked.has("x-moc-path-param-who")) {
    answer(404, "nobody is named\n");
    return;
  }
  const who = asked.get("x-moc-path-param-who");
  assert(who != "nobody", "nobody is greeted");
  const count = counted(who);
  const line = String.UTF8.encode(`${who} for the ${count}. time`);
  printDebug(address(line), line.byteLength);
  if (count < 0) {
    answer(503, "it cannot be kept who was greeted: see the log\n");
    return;
  }
  answer(200, `hello ${who}, ${count}\n`);
}
