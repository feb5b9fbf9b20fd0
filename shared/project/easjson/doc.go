// Package easjson reads eas.json as Expo's own tools do.
//
// # Source of truth
//
// The behaviour is that of npm @expo/eas-json 24.8.0 (MIT): which files it accepts, how profiles
// resolve, and the class and text of its errors. A corpus of files with its verdicts is a test, and
// part of it is in testdata.
//
// # Syntax
//
// Expo reads strict JSON, and what is not JSON with npm golden-fleece 1.0.9. That language is close
// to JSON5, with differences that this package keeps: binary and octal numbers are numbers, a lone
// slash is white space, "//" at the very end is an error, names have ASCII letters only.
//
// # Validation
//
// The schema is data (see schema.go), checked as npm joi 17.11.0 does with Expo's options: it
// converts "true" to true and "0.5" to 0.5, reports all problems at once, and refuses unknown keys.
//
// # Profiles
//
// A profile inherits from the one that "extends" names, at most four times in a row. Objects
// "android", "ios" and "env" merge key by key, everything else is replaced. The platform's block is
// then laid over the profile, so a platform's key of a parent wins over a common key of the child.
//
// # Differences
//
// Expo takes a profile name from JavaScript's Object.prototype ("constructor") for an empty profile
// and looks keys up through a key "__proto__". Here the former is missing and the latter is ignored.
// Half of a surrogate pair in an escape becomes U+FFFD, since Go's strings are UTF-8. The caret of a
// syntax error stands under the character, not one to the left of it.
package easjson
