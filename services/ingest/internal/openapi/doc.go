// Package openapi generates the OpenAPI 3.1 document of API v2 from the operations and their Go
// types, and an HTML page from the document.
package openapi
