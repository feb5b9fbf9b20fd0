// Package legacy answers what the import of the former controller's data asks. It can be removed as one folder, with its two requests.
package legacy
