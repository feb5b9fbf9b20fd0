// Package v2 is API v2: its operations, their handlers, the OpenAPI document and the page that shows it.
//
// # Operations
//
// An operation is one row of a table. The router and the published document are both made of the table, so they cannot differ.
package v2
