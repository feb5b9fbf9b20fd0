// Package pipeline decides which commands build a project: those of its freeagent.json, or the
// built-in ones for an Expo app. It reads files and runs nothing.
//
// # freeagent.json
//
//	{"profiles": {
//	   "production": {"env": {"APP_ENV": "prod"}},
//	   "web": {"extends": "production", "result": "dist",
//	           "stages": [{"name": "install", "run": "npm ci"}, {"name": "export", "run": "npx expo export --platform web"}]}
//	}}
//
// # The built-in pipeline
//
// It installs by the lock file and runs "expo export" (Metro and Hermes). With an Android SDK or
// Xcode it runs the native build instead. Those commands, in native.go, follow the tools'
// documentation and have not been run where this was developed.
package pipeline
