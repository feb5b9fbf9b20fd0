package shell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
)

// Passed returns the variables of the worker's environment that builds get: places of tools, proxies, trusted certificates. --pass-env adds to
// them.
//
// Builds also get variables that begin with npm_config_ (in either case), unless their names speak of credentials.
func Passed() []string {
	return []string{
		"PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL",
		"ANDROID_HOME", "ANDROID_SDK_ROOT", "ANDROID_NDK_HOME", "JAVA_HOME", "DEVELOPER_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
		"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER",
	}
}

// ErrPassEnv means that builds never get this variable.
var ErrPassEnv = errors.New("cannot be passed to builds")

// CheckPassEnv refuses invalid names, the worker's own keys, and names in both lists with ErrPassEnv.
func CheckPassEnv(secret, plain []string) error {
	for _, n := range slices.Concat(secret, plain) {
		upper := strings.ToUpper(n)
		switch {
		case n == "" || strings.ContainsAny(n, "= \x00"):
			return fmt.Errorf("variable %q: %w: not a name (give the name alone, the value comes from the environment)", n, ErrPassEnv)
		case strings.HasPrefix(upper, "FREEAGENT_"), upper == "CONTROLLER_API_KEY":
			return fmt.Errorf("variable %s: %w: it belongs to the worker", n, ErrPassEnv)
		case slices.Contains(secret, n) && slices.Contains(plain, n):
			return fmt.Errorf("variable %s: %w: it is named both as a secret and as plain (--pass-env-plain)", n, ErrPassEnv)
		}
	}
	return nil
}

func variables(environ []string) map[string]string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	return vars
}

// pass returns the variables that builds get, and the values that are secrets: those of all variables that are passed as such, and
// passwords in the addresses of proxies. A variable that is passed as plain is none, whatever its name.
func pass(given map[string]string, secret, plain []string) (env map[string]string, secrets []string) {
	env = map[string]string{}
	names := slices.Concat(Passed(), secret, plain)
	for k, v := range given {
		if !slices.Contains(names, k) && !npmSetting(k) {
			continue
		}
		env[k] = v
		if slices.Contains(secret, k) {
			secrets = append(secrets, v)
		}
		if u, err := url.Parse(v); err == nil && u.User != nil { // a proxy with a password
			if p, ok := u.User.Password(); ok {
				secrets = append(secrets, p)
			}
		}
	}
	return env, secrets
}

// warnUnmasked names the passed secrets that are too short to be masked.
func (e *Executor) warnUnmasked(ctx context.Context, names []string) {
	for _, n := range names {
		if v := strings.TrimSpace(e.base[n]); v != "" && len(v) < buildlog.MinSecret {
			e.log.WarnContext(ctx, "passed variable not masked: its value is too short; pass settings with --pass-env-plain", "variable", n,
				"min_length", buildlog.MinSecret)
		}
	}
}

// npmSetting reports whether a variable is an npm setting without credentials.
func npmSetting(name string) bool {
	lower := strings.ToLower(name)
	rest, ok := strings.CutPrefix(lower, "npm_config_")
	if !ok || buildlog.SecretName(name) || strings.ContainsAny(rest, "/:") {
		return false
	}
	return !slices.Contains([]string{"userconfig", "globalconfig", "cache", "prefix", "otp", "cert", "key", "username", "email"}, rest)
}

// Variables implements runtime.Stepper.
func (w *workspace) Variables(own, stage map[string]string) (map[string]string, error) {
	set, err := w.wasSet()
	if err != nil {
		return nil, err
	}
	env := maps.Clone(w.executor.base)
	if address := w.executor.registry.known(); address != "" {
		env[registryVariable] = address
	}
	if env["LANG"] == "" {
		env["LANG"] = utf8Locale()
	}
	caches, err := w.caches()
	if err != nil {
		return nil, err
	}
	maps.Copy(env, caches)
	maps.Copy(env, own)
	maps.Copy(env, set)
	maps.Copy(env, stage)
	maps.Copy(env, toolDefaults(env))
	// Last, since a profile must not redirect them: the next build would find its files there.
	maps.Copy(env, w.easVariables())
	maps.Copy(env, w.places())
	env["PATH"] = w.path(env["PATH"])
	return env, nil
}

// pairs returns variables as a process has them.
func pairs(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

func utf8Locale() string {
	if goruntime.GOOS == "darwin" {
		return "en_US.UTF-8"
	}
	return "C.UTF-8" // the one that every Linux has
}

func (w *workspace) places() map[string]string {
	return map[string]string{"HOME": filepath.Join(w.dir, "home"), "TMPDIR": filepath.Join(w.dir, "tmp")}
}

// pnpmSettings are those of pnpm before 11 in the user's file: npm warns about variables that it does not know. What an install script made of one
// project is not for another one, so results of scripts are not kept.
const pnpmSettings = "package-import-method=clone-or-copy\nside-effects-cache=false\n"

// writePnpmSettings makes the file in a build's home, where pnpm looks for it on Linux and on macOS.
func writePnpmSettings(home string) error {
	for _, dir := range []string{".config/pnpm", "Library/Preferences/pnpm"} {
		dir = filepath.Join(home, filepath.FromSlash(dir))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "rc"), []byte(pnpmSettings), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// caches are directories of package managers that outlive the build, shared by its scope. Files of these stores are copied or cloned, never
// linked: a build that changes a package (patch-package does) would change the store. The other variables keep tools from telemetry and questions.
func (w *workspace) caches() (map[string]string, error) {
	vars := map[string]string{
		"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false",
		"CI": "1", "EXPO_OFFLINE": "1", "EXPO_NO_TELEMETRY": "1", "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
		"pnpm_config_package_import_method": "clone-or-copy", "pnpm_config_side_effects_cache": "false", "YARN_NM_MODE": "classic",
	}
	for name, variable := range map[string][]string{
		"npm": {"npm_config_cache"}, "yarn": {"YARN_CACHE_FOLDER"}, "yarn-berry": {"YARN_GLOBAL_FOLDER"}, "pnpm": {"PNPM_HOME"}, // its store is below
		"bun": {"BUN_INSTALL_CACHE_DIR"}, "corepack": {"COREPACK_HOME"}, "gradle": {"GRADLE_USER_HOME"}, "cocoapods": {"CP_HOME_DIR"}, "ccache": {"CCACHE_DIR"},
	} {
		dir, err := w.executor.caches.LiveDir(w.scope(), name)
		if err != nil {
			return nil, err
		}
		for _, v := range variable {
			vars[v] = dir
		}
	}
	return vars, nil
}
