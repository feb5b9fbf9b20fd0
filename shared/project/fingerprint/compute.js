// Runs in the app's directory: node -e SCRIPT PLATFORM. Prints the hash behind a mark, since plugins of the app config may print too.
const { createRequire } = require('module');
const path = require('path');
const app = process.cwd();
const load = () => {
  const own = createRequire(path.join(app, 'package.json'));
  for (const from of [() => own, () => createRequire(own.resolve('expo/package.json'))]) {
    try {
      const require = from();
      require.resolve('@expo/fingerprint');
      return require('@expo/fingerprint');
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
    }
  }
  return undefined;
};
const say = (what) => process.stdout.write('\nfreeagent-fingerprint:' + JSON.stringify(what) + '\n');
const fingerprint = load();
if (!fingerprint) {
  say({ missing: true });
} else {
  fingerprint.createFingerprintAsync(app, { platforms: [process.argv[1]], silent: true }).then(
    ({ hash }) => say({ hash }),
    (error) => say({ error: String(error && error.message ? error.message : error) }),
  );
}
