// Package text cleans and cuts text that comes from outside: a tool's output, a field of a form, a
// file's name.
//
// # What is text
//
// Text is valid UTF-8 without NUL. PostgreSQL refuses to store anything else, protobuf refuses to
// pack invalid UTF-8, and a refusal deep inside of a service becomes an error that no repeat can
// heal. So each edge calls this package: text that identifies something is refused with Check, text
// for people is repaired with Clean, Line or Shorten.
//
// # Edges
//
// The gateway checks paths, queries, headers and form fields, and cleans JSON bodies. Package bus
// cleans every message that it decodes. The worker cleans the output of builds line by line.
// Package rpc answers what nevertheless cannot be packed as invalid, not as an internal error.
package text
