export type Platform = 'android' | 'ios';

/** Options in the app config: `buildCacheProvider: { plugin: '@expo-free-agent/build-cache-provider', options: {…} }`. */
export interface Options {
  /** URL of the farm. Default: the variable FREEAGENT_URL. */
  url?: string;
  /** File with an API key of scope submit, absolute or relative to the project. Default: the variable FREEAGENT_API_KEY. */
  keyFile?: string;
  /** Project on the farm. Default: slug in app.json, else name in package.json. */
  project?: string;
}

export interface RunOptions {
  variant?: string;
  configuration?: string;
  scheme?: string | boolean;
  device?: string | boolean;
  [name: string]: unknown;
}

export interface Props {
  projectRoot: string;
  platform: Platform;
  runOptions: RunOptions;
}

/** Returns the path of a binary, or null if the farm has none or does not answer. It never throws. */
export function resolveBuildCache(props: Props & { fingerprintHash: string }, options?: Options): Promise<string | null>;

/** Uploads nothing: the farm keeps what it has built itself. */
export function uploadBuildCache(props: Props & { fingerprintHash: string; buildPath: string }, options?: Options): Promise<null>;

/** Returns the fingerprint as workers of the farm compute it: of one platform. */
export function calculateFingerprintHash(props: Props, options?: Options): Promise<string | null>;
