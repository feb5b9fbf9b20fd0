// Package pages is what people see in a browser: a list of builds, one build with its log live, and the login. Everything is
// embedded; nothing is loaded from elsewhere, and the content security policy allows nothing else.
//
// The pages hold no secret in a URL. Login is a form that is answered with a cookie (HttpOnly, SameSite=Strict, Secure under
// TLS); the scripts then use API v2 like any client, with that cookie. What changes something is a POST, which is refused if
// another site's page sent it.
package pages
