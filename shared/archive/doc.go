// Package archive reads and writes zip and tar.gz archives of whole directories. Archives come from
// strangers, so every archive is treated as hostile.
//
// # Checks
//
// Inspect checks an archive without unpacking it, and Unpack unpacks it. Each makes all checks, so
// neither relies on the other:
//
//   - names: no "..", no absolute path, backslash, NUL, drive letter, nor a second entry of the
//     same name;
//   - kinds: files, directories, links; devices and pipes are refused, setuid bits and owners
//     dropped;
//   - links: symbolic links must stay inside, also through other links; hard links must name an
//     earlier file of the archive;
//   - amounts: entries, bytes of one and of all, and the compression ratio, counted on the unpacked
//     bytes, whatever headers declare.
//
// # Limits
//
// Unpack writes through an os.Root, so that the kernel and not a comparison of strings keeps it
// inside. After an error it removes what it wrote. Memory is bounded: a window of the archive, 64
// KiB to copy, and about 16 bytes an entry; unpacking a zip also needs its directory, which Limits
// bounds.
package archive
