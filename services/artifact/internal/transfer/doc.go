// Package transfer serves the bytes of objects over HTTP to holders of tickets.
//
// # Uploads
//
// A PUT stores all bytes at once, PATCHes store them in pieces that survive a broken connection.
// Both hash and inspect the bytes. A source is checked at its first bytes, so that a wrong file is
// refused before all of it was sent. What can never be stored removes the object; after a broken
// connection the ticket is still good.
//
// # Downloads
//
// A GET returns an object or one range of it. The last bytes leave only when the SHA-256 was right;
// otherwise the connection is cut, so that a client never receives a damaged object whole.
package transfer
