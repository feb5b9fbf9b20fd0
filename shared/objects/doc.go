// Package objects stores large bytes in an S3 bucket: sources, results, logs. It is a thin layer
// over minio-go.
//
// # Transfers
//
// Bytes are streamed through one buffer of PartSize per upload, whatever their size, and hashed on
// the way. An upload that breaks, is too large or is cancelled leaves nothing behind. Transfers
// have no total deadline, since a good one may take an hour, but one that moves no byte for
// Config.StallTimeout ends with ErrStalled.
//
// # When the store fails
//
// Requests that are safe to repeat are repeated a few times within seconds. After that the error
// names the operation, the key and the cause, and errors.Is finds the sentinels of errors.go. A
// process killed during an upload can leave an incomplete multipart upload, invisible to readers;
// AbortStale removes it.
//
// # Keys
//
// Keys are paths with "/". A key must not be a folder of another key ("a" and "a/b"): a store on a
// file system cannot hold both.
package objects
