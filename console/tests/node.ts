// A real node with real data, started once for all tests. Its program is named by CAIRN_BIN.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { fill } from './data'
import { deploy } from './functions'
import { plan } from './plans'

export const PASSWORD = 'a long password of a test'

export interface Node {
  url: string
  token: string
}

export default async function start() {
  const program = process.env.CAIRN_BIN
  if (!program) throw new Error('CAIRN_BIN names no program: `cargo xtask console --check` sets it')
  const home = mkdtempSync(join(tmpdir(), 'cairn-console-'))
  const node = spawn(program, ['up', '--data-dir', join(home, 'node'), '--listen', '127.0.0.1:0', '--web', '127.0.0.1:0'], {
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_STATE_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const stop = () => {
    node.kill('SIGTERM')
    rmSync(home, { recursive: true, force: true })
  }
  try {
    const { url, token } = await announced(node.stdout)
    const environment = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_STATE_HOME: home, CAIRN_URL: url, CAIRN_TOKEN: token }
    const cairn = (...args: string[]) => execFileSync(program, args, { env: environment, cwd: home, encoding: 'utf8' })
    const password = join(home, 'password')
    writeFileSync(password, PASSWORD, { mode: 0o600 })
    for (const name of ['ada', 'rita', 'nora']) cairn('user', 'add', name, '--password-file', password)
    cairn('grant', 'add', 'ada', 'admin', '@*/*')
    // Tests give rita more; nora stays a reader.
    for (const name of ['rita', 'nora']) cairn('grant', 'add', name, 'reader', '@main/*')
    await fill(home, cairn)
    deploy(home, cairn)
    plan(home, cairn)
    Object.assign(process.env, { CONSOLE_URL: url, CONSOLE_TOKEN: token, CONSOLE_HOME: home })
  } catch (error) {
    stop()
    throw error
  }
  return stop
}

/** The address and the first token, as a node prints them when it starts. */
async function announced(output: NodeJS.ReadableStream): Promise<Node> {
  let url = ''
  let token = ''
  for await (const line of createInterface({ input: output })) {
    url ||= /http:\/\/\S+/.exec(line)?.[0] ?? ''
    token ||= /cairn_[a-z0-9]+/.exec(line)?.[0] ?? ''
    if (url && token) {
      output.resume()
      return { url, token }
    }
  }
  throw new Error('the node ended before it said where it is')
}
