// Package openapi describes API v2: it makes an OpenAPI 3.1 document of the operations and the types that they really read and write, and a
// page for people of that document. It knows nothing of what operations do.
package openapi
