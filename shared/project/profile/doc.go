// Package profile resolves the build profile of an app: what its eas.json and its freeagent.json say under one name.
//
// eas.json is read as Expo reads it (package easjson). freeagent.json has what EAS has no words for, and what it says comes before:
//
//	{"profiles": {
//	   "production": {"env": {"APP_ENV": "prod"}},
//	   "web": {"extends": "production", "result": "dist",
//	           "stages": [{"name": "install", "run": "npm ci"}, {"name": "export", "run": "npx expo export --platform web"}]}
//	}}
//
// The command line resolves a profile before it uploads anything, the worker again from the source that it got.
package profile
