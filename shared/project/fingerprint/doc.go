// Package fingerprint computes the native fingerprint of an app with the copy of @expo/fingerprint that the app has installed: a hash of
// everything that decides its native part. Apps with the same fingerprint can run each other's JavaScript.
//
// Workers compute it after the install, clients in the working tree.
package fingerprint
