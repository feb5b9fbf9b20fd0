// Package v2 serves API v2: its operations, their handlers, the OpenAPI document and its HTML page.
//
// # Operations
//
// Each operation is a row of a table. The router and the published document are both derived from
// the table, so they cannot differ.
package v2
