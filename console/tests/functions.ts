// Functions that the node holds while it is looked at, as text of WebAssembly.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { DEED, type Cairn } from './data'

/** A line that would act if it were more than text, and turns the order of its letters. */
const HOSTILE_LINE = `<img src=x onerror="${DEED}"></pre><script>${DEED}</script>\u202eend`

export function deploy(home: string, cairn: Cairn) {
  const put = (name: string, wat: string, ...settings: string[]) => {
    const file = join(home, `${name.replace(/.*\//, '')}.wat`)
    writeFileSync(file, wat)
    cairn('fn', 'deploy', file, '--name', name, ...settings)
  }
  put('greet', program('first\n', ''))
  put('greet', program('second\n', 'greeted\n'), '--env', 'STAGE=test', '--env', 'SECRET=hidden', '--outbound', 'https://api.example.org')
  put('guard', program('Status: 200\n\n', ''))
  put('hostile', program(`<script>${DEED}</script>`, HOSTILE_LINE))
  put('absent', answering(404))
  // It cannot be run, and is a release all the same.
  put('broken', '(module (func (export "nothing")))', '--no-wait')
  put('@alone/quiet', program('', ''))
  cairn('fn', 'invoke', 'greet')
  cairn('route', 'add', 'GET /greet', 'greet', '--public')
  cairn('route', 'add', 'GET /greet/{who}', 'greet', '--public')
  cairn('route', 'add', 'POST example.org/greet', 'greet')
  cairn('filter', 'add', 'guard', 'greet', '--priority', '10')
  cairn('kv', 'create', 'carts')
  cairn('grant', 'add', 'function/@main/greet', 'reader', 'carts')
  cairn('trigger', 'add', 'greet', 'carts', '--prefix', 'user/')
  cairn('cron', 'add', '*/10 * * * * *', 'greet', '--missed', 'once', '--', 'again')
  cairn('cron', 'add', '0 4 * * MON-FRI', 'greet', '--name', 'nightly', '--zone', 'Europe/Berlin')
}

/** A program that writes one text to stdout and one to stderr. */
export function program(out: string, err: string): string {
  const bytes = (text: string) => [...Buffer.from(text)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('')
  const [outBytes, errBytes] = [Buffer.byteLength(out), Buffer.byteLength(err)]
  return `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "${bytes(out)}${bytes(err)}")
  (func $put (param $fd i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $put (i32.const 1) (i32.const 32) (i32.const ${outBytes}))
    (call $put (i32.const 2) (i32.const ${32 + outBytes}) (i32.const ${errBytes}))))`
}

/** The variant error-code of wasi:http 0.2, whose every case is a part of its type. */
const ERROR_CODES = [
  'DNS-timeout', 'DNS-error $dns', 'destination-not-found', 'destination-unavailable', 'destination-IP-prohibited', 'destination-IP-unroutable',
  'connection-refused', 'connection-terminated', 'connection-timeout', 'connection-read-timeout', 'connection-write-timeout', 'connection-limit-reached',
  'TLS-protocol-error', 'TLS-certificate-error', 'TLS-alert-received $tls', 'HTTP-request-denied', 'HTTP-request-length-required',
  'HTTP-request-body-size (option u64)', 'HTTP-request-method-invalid', 'HTTP-request-URI-invalid', 'HTTP-request-URI-too-long',
  'HTTP-request-header-section-size (option u32)', 'HTTP-request-header-size (option $size)', 'HTTP-request-trailer-section-size (option u32)',
  'HTTP-request-trailer-size $size', 'HTTP-response-incomplete', 'HTTP-response-header-section-size (option u32)', 'HTTP-response-header-size $size',
  'HTTP-response-body-size (option u64)', 'HTTP-response-trailer-section-size (option u32)', 'HTTP-response-trailer-size $size',
  'HTTP-response-transfer-coding (option string)', 'HTTP-response-content-coding (option string)', 'HTTP-response-timeout', 'HTTP-upgrade-failed',
  'HTTP-protocol-error', 'loop-detected', 'configuration-error', 'internal-error (option string)',
].map((code) => `(case ${code.replace(/^\S+/, '"$&"')})`).join(' ')

/** A component that answers every request with a status, a header and nothing else. */
const answering = (status: number) => `(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type $outparam (sub resource)))
    (export "outgoing-response" (type $response (sub resource)))
    (export "fields" (type $fields (sub resource)))
    (type $dns' (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns (eq $dns')))
    (type $tls' (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls (eq $tls')))
    (type $size' (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $size (eq $size')))
    (type $error' (variant ${ERROR_CODES}))
    (export "error-code" (type $error (eq $error')))
    (type $wrong' (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $wrong (eq $wrong')))
    (export "[method]fields.append" (func (param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))
      (result (result (error $wrong)))))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[constructor]outgoing-response" (func (param "headers" (own $fields)) (result (own $response))))
    (export "[method]outgoing-response.set-status-code"
      (func (param "self" (borrow $response)) (param "status-code" u16) (result (result))))
    (export "[static]response-outparam.set"
      (func (param "param" (own $outparam)) (param "response" (result (own $response) (error $error)))))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $memory (memory (export "memory") 1) (data (i32.const 64) "x-told") (data (i32.const 96) "by the function"))
  (core instance $memory (instantiate $memory))
  (core func $fields (canon lower (func $types "[constructor]fields")))
  (core func $append (canon lower (func $types "[method]fields.append") (memory (core memory $memory "memory"))))
  (core func $response (canon lower (func $types "[constructor]outgoing-response")))
  (core func $status (canon lower (func $types "[method]outgoing-response.set-status-code")))
  (core func $set (canon lower (func $types "[static]response-outparam.set") (memory (core memory $memory "memory"))))
  (core module $code
    (import "http" "fields" (func $fields (result i32)))
    (import "http" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "http" "response" (func $response (param i32) (result i32)))
    (import "http" "status" (func $status (param i32 i32) (result i32)))
    (import "http" "set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (func (export "handle") (param $request i32) (param $out i32) (local $answer i32) (local $headers i32)
      (local.set $headers (call $fields))
      (call $append (local.get $headers) (i32.const 64) (i32.const 6) (i32.const 96) (i32.const 15) (i32.const 128))
      (local.set $answer (call $response (local.get $headers)))
      (drop (call $status (local.get $answer) (i32.const ${status})))
      (call $set (local.get $out) (i32.const 0) (local.get $answer)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
  (core instance $code (instantiate $code (with "http" (instance
    (export "fields" (func $fields)) (export "append" (func $append)) (export "response" (func $response))
    (export "status" (func $status)) (export "set" (func $set))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $code "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))`
