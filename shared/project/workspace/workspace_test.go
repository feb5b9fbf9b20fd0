package workspace

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1]), Mode: 0o644}
	}
	return fsys
}

const expoApp = `{"name":"shop","dependencies":{"expo":"57"}}`

// TestFind: the nearest declaration that has the app counts, as each package manager writes it.
func TestFind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, dir string
		files     []string
		want      string // the root; empty: none
	}{
		{"npm, bun", "apps/shop", []string{"package.json", `{"workspaces":["apps/*","packages/*"]}`}, "."},
		{"yarn's object", "apps/shop", []string{"package.json", `{"workspaces":{"packages":["apps/**"],"nohoist":["**/x"]}}`}, "."},
		{"pnpm", "apps/shop", []string{"pnpm-workspace.yaml", "packages:\n  - './apps/*/'\n"}, "."},
		{"a byte order mark", "apps/shop", []string{"package.json", "\ufeff" + `{"workspaces":["apps/*"]}`}, "."},
		{"another's workspace", "apps/shop", []string{"package.json", `{"workspaces":["packages/*"]}`}, ""},
		{"excluded", "apps/shop", []string{"pnpm-workspace.yaml", "packages: ['apps/*', '!apps/shop']"}, ""},
		{"settings of pnpm alone", "apps/shop", []string{"pnpm-workspace.yaml", "onlyBuiltDependencies: [esbuild]\n"}, ""},
		{"nested", "js/apps/shop", []string{"js/package.json", `{"workspaces":["apps/*"]}`, "package.json", `{"workspaces":["tools/*"]}`}, "js"},
		{"the root itself", ".", []string{"package.json", `{"workspaces":["apps/*"],"dependencies":{"expo":"57"}}`}, "."},
	}
	for _, tt := range tests {
		w, ok, err := Find(tree(append(tt.files, tt.dir+"/x.js", "")...), tt.dir)
		if err != nil || ok != (tt.want != "") || w.Dir != tt.want {
			t.Errorf("%s: Find = %q, %v, %v, want %q", tt.name, w.Dir, ok, err, tt.want)
		}
	}
	for _, broken := range [][]string{{"package.json", `{"workspaces":`}, {"pnpm-workspace.yaml", "packages: {"}} {
		if _, _, err := Find(tree(append(broken, "a/package.json", "{}")...), "a"); err == nil || !strings.Contains(err.Error(), broken[0]) {
			t.Errorf("Find with a broken %s = %v, want an error with its name", broken[0], err)
		}
	}
}

func TestApps(t *testing.T) {
	t.Parallel()
	w, _, err := Find(tree(
		"package.json", `{"workspaces":["apps/*","packages/**","!packages/old/**"]}`, "apps/shop/package.json", expoApp,
		"apps/web/package.json", `{"dependencies":{"next":"15"}}`, "packages/ui/package.json", `{"peerDependencies":{"react-native":"*"}}`,
		"packages/a/example/package.json", `{"dependencies":{"react-native":"0.80"}}`, "packages/ui/node_modules/x/package.json", expoApp,
		"packages/old/package.json", expoApp, "apps/notes/readme", "",
	), ".")
	if err != nil {
		t.Fatal(err)
	}
	apps, err := w.Apps()
	if want := []string{"apps/shop", "packages/a/example"}; err != nil || !slices.Equal(apps, want) {
		t.Errorf("Apps = %q, %v, want %q", apps, err, want)
	}
}

// TestInstallOf: the field packageManager decides, then the lock file, and what is odd is said.
func TestInstallOf(t *testing.T) {
	t.Parallel()
	member := func(files ...string) []string { return append(files, "apps/shop/package.json", expoApp) }
	tests := []struct {
		name, dir  string
		files      []string
		want, from string
		warning    string
	}{
		{"npm", ".", []string{"package.json", expoApp, "package-lock.json", "{}"}, "npm ci --include=dev", ".", ""},
		{"shrinkwrap", ".", []string{"package.json", expoApp, "npm-shrinkwrap.json", "{}"}, "npm ci --include=dev", ".", ""},
		{"yarn 1", ".", []string{"package.json", expoApp, "yarn.lock", "# yarn lockfile v1"}, "yarn install --frozen-lockfile --production=false", ".", ""},
		{"yarn 4", ".", []string{"package.json", expoApp, "yarn.lock", "__metadata:\n"}, "yarn install --immutable", ".", ""},
		{"pnpm", ".", []string{"package.json", expoApp, "pnpm-lock.yaml", ""}, "pnpm install --frozen-lockfile", ".", ""},
		{"bun", ".", []string{"package.json", expoApp, "bun.lock", ""}, "bun install --frozen-lockfile --backend=copyfile", ".", ""},
		{"no lock file", ".", []string{"package.json", expoApp}, "npm install --include=dev", ".", "commit package-lock.json"},
		{
			"the field before an old lock file", ".",
			[]string{"package.json", `{"packageManager":"pnpm@9.1.0+sha512.abc"}`, "package-lock.json", "{}", "pnpm-lock.yaml", ""},
			"pnpm install --frozen-lockfile", ".", "delete package-lock.json",
		},
		{
			"the field without its lock file", ".", []string{"package.json", `{"packageManager":"yarn@4.1.0"}`, "package-lock.json", "{}"},
			"yarn install --no-immutable", ".", "whose lock file is missing",
		},
		{
			"a field that says nothing", ".", []string{"package.json", `{"packageManager":"pnpm"}`, "package-lock.json", "{}"},
			"npm ci --include=dev", ".", "is ignored",
		},
		{"two lock files", ".", []string{"package.json", expoApp, "package-lock.json", "{}", "yarn.lock", ""}, "yarn install --frozen-lockfile --production=false", ".", "delete package-lock.json"},
		{
			"the root of a workspace", "apps/shop", member("package.json", `{"workspaces":["apps/*"]}`, "package-lock.json", "{}", "apps/shop/yarn.lock", ""),
			"npm ci --include=dev", ".", "",
		},
		{"pnpm's root without package.json", "apps/shop", member("pnpm-workspace.yaml", "packages: [apps/*]", "pnpm-lock.yaml", ""), "pnpm install --frozen-lockfile", ".", ""},
		{"a directory of no workspace", "apps/shop", member("package.json", "{}", "apps/shop/package-lock.json", "{}"), "npm ci --include=dev", "apps/shop", ""},
	}
	for _, tt := range tests {
		fsys := tree(tt.files...)
		in, err := InstallOf(fsys, tt.dir)
		if err != nil || in.Command(fsys) != tt.want || in.Dir != tt.from {
			t.Errorf("%s: %q in %s, %v; want %q in %s", tt.name, in.Command(fsys), in.Dir, err, tt.want, tt.from)
		}
		if said := strings.Join(in.Warnings, "\n"); tt.warning == "" != (said == "") || !strings.Contains(said, tt.warning) {
			t.Errorf("%s: warnings = %q, want %q", tt.name, said, tt.warning)
		}
	}
}
