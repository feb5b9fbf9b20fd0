package buildcache

import "testing"

// TestBundleKey: the configuration of transforms and the variables are in it, the JavaScript is not.
func TestBundleKey(t *testing.T) {
	t.Parallel()
	key := func(env string, files ...string) (string, string) {
		t.Helper()
		r := fill(t, t.TempDir(), append([]string{"package.json", "{}", "App.js", "1"}, files...)...)
		k, whyNot, err := BundleKey(r.FS(), ".", "install", Facts{Env: map[string]string{"EXPO_PUBLIC_API": env}})
		if err != nil {
			t.Fatal(err)
		}
		return k, whyNot
	}
	first, _ := key("a")
	if same, _ := key("a", "App.js", "2"); same != first {
		t.Error("JavaScript changes the key")
	}
	for _, files := range [][]string{{"babel.config.js", "x"}, {".env", "A=1"}, {"app.config.ts", "x"}} {
		if other, _ := key("a", files...); other == first {
			t.Errorf("%q does not change the key", files)
		}
	}
	if other, _ := key("b"); other == first {
		t.Error("a variable does not change the key")
	}
	if _, whyNot := key("a", "package.json", `{"devDependencies":{"react-native-dotenv":"1"}}`); whyNot == "" {
		t.Error("a package that reads .env behind Metro's back is not noticed")
	}
}

// TestBundleKeyOfTransforms: if the configuration reads more than itself, any file of the source and the build's facts may be in the bundle.
func TestBundleKeyOfTransforms(t *testing.T) {
	t.Parallel()
	files := []string{
		"package.json", `{"name":"root","workspaces":["apps/*","packages/*"]}`,
		"apps/shop/package.json", `{"name":"shop"}`,
		"packages/inline/package.json", `{"name":"babel-plugin-inline"}`,
		"packages/theme/package.json", `{"name":"@acme/babel-preset"}`,
		"packages/ui/package.json", `{"name":"ui"}`,
		"apps/shop/tools/plugin.js", "x",
		"apps/shop/babel/index.js", "x",
		"apps/shop/info.json", "{}",
	}
	key := func(t *testing.T, commit string, more ...string) string {
		t.Helper()
		r := fill(t, t.TempDir(), append(append([]string{}, files...), more...)...)
		k, whyNot, err := BundleKey(r.FS(), "apps/shop", "install", Facts{Build: []string{commit}})
		if err != nil || whyNot != "" {
			t.Fatal(whyNot, err)
		}
		return k
	}
	for name, tt := range map[string]struct {
		file, config string
		whole        bool
	}{
		"stock":                            {"babel.config.js", `module.exports = (api) => { api.cache(true); return { presets: ['babel-preset-expo'], plugins: ["x/inline"] } }`, false},
		"stock Metro":                      {"metro.config.js", `const { getDefaultConfig } = require('expo/metro-config'); module.exports = getDefaultConfig(__dirname)`, false},
		"Metro of workspace":               {"metro.config.js", `config.watchFolders = [path.resolve(__dirname, '../..')]; // the package ui`, false},
		"a type in a comment":              {"metro.config.js", `/** @type {import('@react-native/metro-config').MetroConfig} */ const config = {};`, false},
		"TypeScript":                       {"tsconfig.json", `{"extends":"./info.json"}`, false},
		"local plugin":                     {"babel.config.js", `plugins: ['./tools/plugin']`, true},
		"local directory":                  {".babelrc", `{"plugins":["./babel"]}`, true},
		"required file":                    {"babel.config.cjs", `require("./info.json")`, true},
		"variable":                         {"babel.config.js", `process.env.EAS_BUILD_GIT_COMMIT_HASH`, true},
		"read file":                        {"metro.config.js", `require('fs').readFileSync(f)`, true},
		"command":                          {"metro.config.js", `execSync('git log')`, true},
		"plugin of the workspace":          {"babel.config.js", `plugins: ["inline"]`, true},
		"scoped preset of the workspace":   {"babel.config.js", `presets: ["@acme"]`, true},
		"file of a package":                {"metro.config.js", `require.resolve("ui/transformer")`, true},
		"module: prefix":                   {"babel.config.js", `presets: ["module:babel-plugin-inline"]`, true},
		"babel in package.json":            {"package.json", `{"name":"shop","babel":{"plugins":["./tools/plugin.js"]}}`, true},
		"babel in package.json, no plugin": {"package.json", `{"name":"shop","babel":{"presets":["expo"]},"main":"./info.json"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := "apps/shop/" + tt.file
			first := key(t, "1", at, tt.config)
			if changed := key(t, "1", at, tt.config, "packages/ui/x.js", "2") != first; changed != tt.whole {
				t.Errorf("a file of the source changes the key: %t, want %t", changed, tt.whole)
			}
			if changed := key(t, "2", at, tt.config) != first; changed != tt.whole {
				t.Errorf("the commit changes the key: %t, want %t", changed, tt.whole)
			}
		})
	}
}

// TestDependenciesRead: the install script of a package may read files of the project, as Prisma's does.
func TestDependenciesRead(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lock, content string
		want          bool
	}{
		"npm, none":    {"package-lock.json", `{"packages":{"":{"hasInstallScript":true},"node_modules/a":{}}}`, false},
		"npm, known":   {"package-lock.json", `{"packages":{"node_modules/x/node_modules/@swc/core":{"hasInstallScript":true}}}`, false},
		"npm, any":     {"package-lock.json", `{"packages":{"node_modules/x/node_modules/gen":{"hasInstallScript":true}}}`, true},
		"npm 6":        {"package-lock.json", `{"dependencies":{` + "\n" + `"@prisma/client": {"version":"1"}}}`, true},
		"yarn 1":       {"yarn.lock", "expo@1:\n  version 1\n\n\"@prisma/client@^5.0.0\":\n", true},
		"yarn 1, none": {"yarn.lock", "expo@1:\n  version 1\nprismatic@1:\n", false},
		"yarn 4":       {"yarn.lock", "\"prisma@npm:^5.0.0\":\n", true},
		"pnpm":         {"pnpm-lock.yaml", "packages:\n\n  '@prisma/client@5.0.0':\n", true},
		"pnpm 6":       {"pnpm-lock.yaml", "packages:\n\n  /@prisma/client@5.0.0:\n", true},
		"bun":          {"bun.lock", "{\n \"packages\": {\n    \"prisma\": [\"prisma@5.0.0\"", true},
		"bun, none":    {"bun.lock", "{\n \"packages\": {\n    \"expo\": [\"expo@5.0.0\"", false},
	} {
		r := fill(t, t.TempDir(), tt.lock, tt.content)
		if got := dependenciesRead(r.FS(), tt.lock); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
