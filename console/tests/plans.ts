// Plans that the node holds while it is looked at.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Cairn } from './data'
import { program } from './functions'

/** Reads the files of the survey, and makes one of them by several ways. */
export const SURVEY = `[steps.read]
function = "copy"
files = "survey:v1/data"

[steps.count]
function = "copy"
inputs = ["read"]
each = true

[steps.check]
function = "noted"
inputs = ["read"]
each = true

[steps.total]
function = "copy"
inputs = ["count"]
together = 2

[steps.report]
function = "copy"
inputs = ["total", "check", "read"]
`
const BROKEN = '[steps.read]\nfunction = "copy"\nfiles = "survey:v1/data"\n\n[steps.check]\nfunction = "failing"\ninputs = ["read"]\n\n[steps.report]\nfunction = "copy"\ninputs = ["check"]\n'

/** Has plans done; their ids are in the environment of the tests. */
export function plan(home: string, cairn: Cairn) {
  const deploy = (name: string, wat: string, ...settings: string[]) => {
    writeFileSync(join(home, `${name}.wat`), wat)
    cairn('fn', 'deploy', join(home, `${name}.wat`), '--name', name, ...settings)
  }
  deploy('copy', COPY)
  deploy('noted', program('noted\n', 'told of a step\n'))
  deploy('failing', FAILING)
  deploy('endless', ENDLESS, '--cpu-ms', '60000', '--wall-ms', '60000')
  const run = (name: string, text: string, ...more: string[]) => {
    const file = join(home, `${name}.toml`)
    writeFileSync(file, text)
    return JSON.parse(cairn('--json', 'plan', 'run', file, ...more)).id as string
  }
  process.env.CONSOLE_PLAN = run('survey-report', SURVEY)
  process.env.CONSOLE_PLAN_FAILED = run('broken-report', BROKEN, '--detach')
}

/** A program that writes what it reads. */
const COPY = `(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (loop $again
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $again))))))`

/** A program that says why it fails. */
const FAILING = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "no depth in it\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 15))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 1))))`

/** A program that ends when it is stopped. */
const ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
