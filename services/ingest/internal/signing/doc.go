// Package signing reads what an iOS build is signed with: a PKCS#12 file (a
// certificate and its private key), the file's password, and provisioning
// profiles. It is stored and handed out as one zip:
//
//	*.p12               in any folder; the last one counts, else the last *.pfx
//	*.mobileprovision   in any folder, none to many
//	password.txt        at the top; empty if there is none
//
// Pack makes such a bundle of what a submitter sent, Read takes one apart. Both
// work on bytes in memory, touch neither disk nor network, and check everything
// on their own, by content and never by file name: entry names and their number
// (with package archive), and the unpacked size, counted on the bytes that really
// come out. What comes in is secret: no error holds any of it but entry names.
package signing
