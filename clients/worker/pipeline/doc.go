// Package pipeline says which commands build a project: those of its freeagent.json, or the built-in ones for an Expo app.
//
//	{"profiles": {
//	   "production": {"env": {"APP_ENV": "prod"}},
//	   "web": {"extends": "production", "result": "dist",
//	           "stages": [{"name": "install", "run": "npm ci"}, {"name": "export", "run": "npx expo export --platform web"}]}
//	}}
//
// The built-in pipeline installs by the lock file and runs "expo export" (Metro and Hermes). Where an Android SDK or Xcode
// is present it goes on to the native build instead; those commands are data in native.go. They follow the tools'
// documentation and could not be run on the machine where this was developed.
//
// It reads files and decides; it runs nothing.
package pipeline
