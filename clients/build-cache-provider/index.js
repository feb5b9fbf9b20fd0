'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');
const { fetchBinary } = require('./lib/cache');
const { reuse } = require('./lib/farm');
const { branchOf, settings } = require('./lib/settings');

/** say prints one line, as Expo CLI prints its own. */
function say(text) {
  console.log(`› Free Agent: ${text}`);
}

/**
 * unsuitable returns why no binary of the farm can take the place of what `expo run` would build, or undefined. Only development clients can:
 * the JavaScript of other builds is inside the binary, and the fingerprint does not know it.
 */
function unsuitable(platform, run) {
  if (platform === 'android') {
    return !run.variant || run.variant === 'debug' ? undefined : `variant ${run.variant} has its JavaScript inside`;
  }
  if (run.configuration && run.configuration !== 'Debug') return `configuration ${run.configuration} has its JavaScript inside`;
  if (typeof run.scheme === 'string' || run.scheme === true) return 'the farm builds the default scheme';
  if (run.device) return 'the farm has builds for the default simulator only; leave out --device';
  return undefined;
}

async function resolveBuildCache({ projectRoot, platform, runOptions, fingerprintHash }, options) {
  try {
    const why = unsuitable(platform, runOptions ?? {});
    if (why) {
      say(`building here: ${why}.`);
      return null;
    }
    const farm = settings(projectRoot, options ?? {});
    const answer = await reuse(farm, {
      project: farm.project,
      platform,
      fingerprint: fingerprintHash,
      simulator: platform === 'ios',
      branch: branchOf(projectRoot),
    });
    if (!answer.reused) {
      say(`building here: ${answer.reason}.`);
      return null;
    }
    const binary = await fetchBinary(farm, answer, projectRoot, platform);
    say(`using build ${answer.build.id}, fingerprint ${fingerprintHash.slice(0, 12)}.`);
    return binary;
  } catch (error) {
    say(`building here: ${error.message}.`);
    return null;
  }
}

async function uploadBuildCache() {
  say('this build stays on this machine: the farm keeps only what its own workers have built.');
  return null;
}

/** load requires @expo/fingerprint as the project or its copy of expo has it. */
function load(projectRoot) {
  const own = createRequire(path.join(projectRoot, 'package.json'));
  for (const from of [() => own, () => createRequire(own.resolve('expo/package.json'))]) {
    try {
      return from()('@expo/fingerprint');
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

async function calculateFingerprintHash({ projectRoot, platform }) {
  try {
    const fingerprint = load(projectRoot);
    if (!fingerprint) {
      say('building here: @expo/fingerprint is not installed.');
      return null;
    }
    const { hash } = await fingerprint.createFingerprintAsync(projectRoot, { platforms: [platform], silent: true });
    return hash;
  } catch (error) {
    say(`building here: @expo/fingerprint failed: ${error.message}.`);
    return null;
  }
}

module.exports = { resolveBuildCache, uploadBuildCache, calculateFingerprintHash };
