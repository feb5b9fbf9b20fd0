// Package catalog couples the rows of objects (package store) with their bytes, which lie in the
// object store or, if small, in the table. It stages, opens, inspects, copies and removes objects,
// watches the disk's free space, and answers the requests about objects that move no bytes.
package catalog
