'use strict';

// Tests against a real farm, which has one development client for Android. The Go test TestBuildCacheProvider starts it and sets:
//   FREEAGENT_URL, FREEAGENT_API_KEY  the farm
//   PROVIDER_APP                      the app's directory, whose project is shop
//   PROVIDER_BUILD, PROVIDER_SHA256   the build and the digest of its APK
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const provider = require('..');
const { directory } = require('../lib/cache');

const projectRoot = process.env.PROVIDER_APP;
const build = process.env.PROVIDER_BUILD;
assert.ok(projectRoot && build, 'run it with: cd services/standalone && go test -run TestBuildCacheProvider');

const props = { projectRoot, platform: 'android', runOptions: {} };
const sha256 = (file) => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** lines returns what f prints. */
async function lines(f) {
  const log = console.log;
  const said = [];
  console.log = (text) => said.push(text);
  try {
    return [await f(), said.join('\n')];
  } finally {
    console.log = log;
  }
}

const resolve = (more, options) => lines(() => provider.resolveBuildCache({ ...props, ...more }, options));

test('a build with the fingerprint is downloaded once', async () => {
  const fingerprintHash = await provider.calculateFingerprintHash(props);
  const [file, said] = await resolve({ fingerprintHash });
  assert.match(said, new RegExp(`using build ${build}`));
  assert.equal(path.extname(file), '.apk');
  assert.equal(sha256(file), process.env.PROVIDER_SHA256);
  const { ino } = fs.statSync(file);
  const [again] = await resolve({ fingerprintHash });
  assert.equal(again, file);
  assert.equal(fs.statSync(file).ino, ino, 'it was downloaded again');
  fs.appendFileSync(file, 'x');
  const [repaired] = await resolve({ fingerprintHash });
  assert.equal(sha256(repaired), process.env.PROVIDER_SHA256, 'a changed file is used');
});

test('no binary in place of other builds', async () => {
  const fingerprintHash = await provider.calculateFingerprintHash(props);
  const cases = [
    ['another fingerprint', { fingerprintHash: 'f'.repeat(40) }, /no development client was built with this fingerprint/],
    ['a release', { fingerprintHash, runOptions: { variant: 'release' } }, /has its JavaScript inside/],
    ['iOS', { fingerprintHash, platform: 'ios' }, /no development client/],
    ['a release for iOS', { fingerprintHash, platform: 'ios', runOptions: { configuration: 'Release' } }, /has its JavaScript inside/],
    ['a device', { fingerprintHash, platform: 'ios', runOptions: { device: true } }, /simulator/],
  ];
  for (const [what, more, reason] of cases) {
    const [file, said] = await resolve(more);
    assert.equal(file, null, what);
    assert.match(said, reason, what);
    assert.equal(said.split('\n').length, 1, what);
  }
  const [file] = await resolve({ fingerprintHash }, { project: 'other' });
  assert.equal(file, null, 'another project');
});

test('without the farm Expo builds', async () => {
  const fingerprintHash = 'f'.repeat(40);
  const [offline, said] = await resolve({ fingerprintHash }, { url: 'http://127.0.0.1:9' });
  assert.equal(offline, null);
  assert.match(said, /^› Free Agent: building here: http:\/\/127\.0\.0\.1:9 cannot be reached \(.+\)\.$/);
  const keyFile = path.join(projectRoot, 'wrong.key');
  fs.writeFileSync(keyFile, 'wrong\n');
  const [refused, why] = await resolve({ fingerprintHash }, { keyFile: 'wrong.key' });
  assert.equal(refused, null);
  assert.match(why, /refused/);
  fs.rmSync(keyFile);
});

test('a damaged download is not used', async (t) => {
  const fingerprintHash = await provider.calculateFingerprintHash(props);
  fs.rmSync(directory(projectRoot), { recursive: true, force: true });
  // A proxy before the farm that flips a byte of each result.
  const proxy = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host, connection, 'content-length': length, ...headers } = request.headers;
    const answer = await fetch(process.env.FREEAGENT_URL + request.url, {
      method: request.method,
      headers,
      body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
    });
    const body = Buffer.from(await answer.arrayBuffer());
    if (request.url.endsWith('/result')) body[0] ^= 1;
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') });
    response.end(body);
  });
  await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
  t.after(() => proxy.close());
  const [file, said] = await resolve({ fingerprintHash }, { url: `http://127.0.0.1:${proxy.address().port}` });
  assert.equal(file, null);
  assert.match(said, /the download of build .+ is damaged/);
  assert.deepEqual(fs.readdirSync(path.join(directory(projectRoot), build)), [], 'parts are left');
});

test('nothing is uploaded', async () => {
  const [url, said] = await lines(() => provider.uploadBuildCache({ ...props, fingerprintHash: 'f', buildPath: '/x' }));
  assert.equal(url, null);
  assert.match(said, /stays on this machine/);
});
