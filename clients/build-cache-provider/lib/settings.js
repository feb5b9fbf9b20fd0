'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

function readJSON(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8').replace(/^\ufeff/, ''));
  } catch {
    return undefined;
  }
}

/** projectOf names the project as `freeagent submit` does. */
function projectOf(projectRoot) {
  const slug = readJSON(path.join(projectRoot, 'app.json'))?.expo?.slug;
  return slug || (readJSON(path.join(projectRoot, 'package.json'))?.name ?? '').replace(/^@/, '');
}

function keyOf(projectRoot, options) {
  if (!options.keyFile) return process.env.FREEAGENT_API_KEY;
  const file = path.resolve(projectRoot, options.keyFile);
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(`cannot read the API key: ${error.message}`);
  }
}

/** settings returns url, key and project, and throws if one is missing. */
function settings(projectRoot, options) {
  const farm = {
    url: (options.url || process.env.FREEAGENT_URL || '').replace(/\/+$/, ''),
    key: keyOf(projectRoot, options),
    project: options.project || projectOf(projectRoot),
  };
  if (!farm.url) throw new Error('no address of the farm; set the option url or FREEAGENT_URL');
  if (!farm.key) throw new Error('no API key; set the option keyFile or FREEAGENT_API_KEY');
  if (!farm.project) throw new Error('the app has no slug in app.json; set the option project');
  return farm;
}

/** branchOf returns the branch that is checked out, and "" without one or without git. */
function branchOf(projectRoot) {
  try {
    const args = ['-C', projectRoot, 'symbolic-ref', '--quiet', '--short', 'HEAD'];
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 5000 }).trim();
  } catch {
    return '';
  }
}

module.exports = { branchOf, settings };
