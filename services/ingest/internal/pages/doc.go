// Package pages serves the web pages: a list of builds, a build with its live log, and the login.
// All assets are embedded, and the content security policy allows no others.
//
// # Security
//
// URLs contain no secrets. The login form sets a cookie (HttpOnly, SameSite=Strict, Secure under
// TLS). Scripts use API v2 with that cookie. Changes are POST requests, and cross-site ones are
// rejected.
package pages
