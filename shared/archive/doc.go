// Package archive reads and writes zip and tar.gz archives of whole
// directories. What it reads comes from strangers, so every archive is taken
// for hostile.
//
// Inspect looks at an archive without unpacking it and Unpack does unpack it;
// each makes all checks by itself, so neither relies on the other:
//
//   - names: no "..", no absolute path, backslash, NUL, drive letter, nor a
//     second entry of the same name;
//   - kinds: files, directories, links; devices and pipes are refused, setuid
//     bits and owners dropped;
//   - links: symbolic ones must stay inside, also through other links; hard
//     ones must name a file that the archive brought before;
//   - amounts: entries, bytes of one and of all, and the compression ratio,
//     counted on the bytes that really come out, whatever headers declare.
//
// Unpack writes through an os.Root, so that the kernel's view of links and not
// a comparison of strings keeps it inside. After an error it has removed what
// it wrote. Memory is bounded: a window of the archive, 64 KiB to copy, and
// about 16 bytes an entry; unpacking a zip also holds its directory, which
// Limits bounds.
package archive
