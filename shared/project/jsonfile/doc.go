// Package jsonfile reads small JSON and JSON5 files that people write by hand: package.json,
// app.json, eas.json.
//
// # Byte order mark
//
// A UTF-8 byte order mark at the start is ignored. Editors on Windows write one, npm and Expo accept
// it, and encoding/json does not.
//
// # JSON5
//
// Unmarshal5 and Parse5 read strict JSON first and JSON5 (https://spec.json5.org) otherwise. The
// parser is ours. Of the Go libraries for JSON5 that the module proxy has, titanous/json5 (no release
// since 2023) differs from the reference implementation in 21 of the 92 inputs in testdata: a byte
// order mark, "\x41", names with letters such as "ä", a comment that ends with "**/". It also accepts
// a comment that never ends. tailscale/hujson, hjson-go and komkom/jsonc read other languages.
//
// # Errors
//
// A file that cannot be read as JSON yields a *SyntaxError with file, line, column and the line's
// text.
package jsonfile
