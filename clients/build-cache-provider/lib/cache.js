'use strict';

const { execFile } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { result } = require('./farm');

/** How many builds the cache of a project keeps, and how long a download may stand still, in milliseconds. */
const KEPT = 3;
const STALL_TIMEOUT = 60_000;

/** directory is where tools of a project keep files that can be made again. */
function directory(projectRoot) {
  return path.join(projectRoot, 'node_modules', '.cache', 'freeagent-builds');
}

/** fetchBinary returns the path of an APK or a .app directory, which it downloads unless the cache has it. */
async function fetchBinary(farm, answer, projectRoot, platform) {
  const { id, result: stored } = answer.build;
  const name = path.posix.basename(stored.name);
  const packed = platform === 'ios' && /\.(tar\.gz|tgz)$/.test(name);
  if (!packed && !(platform === 'android' && name.endsWith('.apk'))) {
    throw new Error(`the result of build ${id} is ${name}, which cannot be installed`);
  }
  const dir = path.join(directory(projectRoot), id);
  const file = path.join(dir, name);
  await fs.promises.mkdir(dir, { recursive: true });
  if ((await digest(file)) !== stored.sha256) await download(farm, answer, file);
  await prune(path.dirname(dir), id);
  return packed ? unpack(file, dir) : file;
}

/** digest returns the SHA-256 of a file, and undefined if there is no such file. */
async function digest(file) {
  try {
    const hash = createHash('sha256');
    for await (const chunk of fs.createReadStream(file)) hash.update(chunk);
    return hash.digest('hex');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** download writes the result under its name only when it is complete and its SHA-256 is right. */
async function download(farm, answer, file) {
  const { size, sha256 } = answer.build.result;
  const part = `${file}.${process.pid}.part`;
  const stalled = new AbortController();
  let timer;
  const moved = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(new Error('the download stalled')), STALL_TIMEOUT);
  };
  try {
    moved();
    const response = await result(farm, answer, stalled.signal);
    const hash = createHash('sha256');
    let received = 0;
    const out = await fs.promises.open(part, 'w', 0o644);
    try {
      for await (const chunk of response.body) {
        moved();
        received += chunk.length;
        if (received > size) break;
        hash.update(chunk);
        await out.writeFile(chunk);
      }
    } finally {
      await out.close();
    }
    if (received !== size || hash.digest('hex') !== sha256) throw new Error(`the download of build ${answer.build.id} is damaged`);
    await fs.promises.rename(part, file);
  } finally {
    clearTimeout(timer);
    await fs.promises.rm(part, { force: true });
  }
}

/** unpack returns the one .app directory in an archive of a simulator build. */
async function unpack(archive, dir) {
  const into = path.join(dir, 'app');
  await fs.promises.rm(into, { recursive: true, force: true });
  await fs.promises.mkdir(into);
  await promisify(execFile)('tar', ['-xzf', archive, '-C', into]);
  const entries = await fs.promises.readdir(into, { recursive: true });
  const app = entries.filter((name) => name.endsWith('.app')).sort((a, b) => a.length - b.length)[0];
  if (app) return path.join(into, app);
  if (entries.includes('Info.plist')) {
    const named = path.join(dir, `${path.basename(archive).replace(/\.(tar\.gz|tgz)$/, '')}.app`);
    await fs.promises.rm(named, { recursive: true, force: true });
    await fs.promises.rename(into, named); // the archive has the content of the directory
    return named;
  }
  throw new Error(`${path.basename(archive)} has no .app in it`);
}

/** prune removes all but the builds that were used last, and the one in use. */
async function prune(dir, used) {
  const now = new Date();
  await fs.promises.utimes(path.join(dir, used), now, now);
  const builds = await Promise.all(
    (await fs.promises.readdir(dir)).map(async (id) => ({ id, at: (await fs.promises.stat(path.join(dir, id))).mtimeMs })),
  );
  builds.sort((a, b) => b.at - a.at);
  for (const { id } of builds.slice(KEPT)) await fs.promises.rm(path.join(dir, id), { recursive: true, force: true });
}

module.exports = { directory, fetchBinary };
