// Package readahead cuts a stream into chunks and reads the next one while the caller sends the
// present one.
package readahead
